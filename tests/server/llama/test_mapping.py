"""Pages of a mapped file leave the process, and come back as they were."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest

from server.llama.mapping import forget_pages

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="proc(5) and madvise(2)")

SIZE = 1 << 20


def resident(path: Path) -> int:
    """Bytes of all mappings of `path` that are in memory."""
    n_kib, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            n_kib += int(line.split()[1])
    return 1024 * n_kib


@pytest.mark.parametrize("name", ["model.gguf", "my [best] model-00001-of-00002.gguf"])
def test_forgotten_pages_are_not_resident_and_are_read_again_when_needed(tmp_path: Path, name: str) -> None:
    data = bytes(range(256)) * (SIZE // 256)
    names = [name] if name == "model.gguf" else [name, name.replace("00001", "00002")]
    for file in names:
        (tmp_path / file).write_bytes(data)
    with (tmp_path / names[-1]).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[::4096]) == 0
        assert resident(tmp_path / names[-1]) == SIZE

        assert forget_pages(tmp_path / names[0]) == SIZE

        assert resident(tmp_path / names[-1]) == 0
        assert mapped[:] == data


def test_a_file_that_nobody_mapped_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    assert forget_pages(path) == 0
