"""Pages of a mapped file that a process need not count as its own.

llama.cpp maps a model's file and reads all of it in. Rearranged weights are copied; the mapped originals are never read
again but still count as resident: half of a model in Q4_K. Forgotten pages that are needed after all come back from the
system's cache of the file, sixteen at a time.

Knows the kernel's list of mappings (proc(5)) and madvise(2); nothing of models. Does nothing but on Linux.
"""

from __future__ import annotations

import ctypes
import glob
import logging
import re
import sys
from pathlib import Path

log = logging.getLogger(__name__)

MADV_DONTNEED = 4
"""Of a mapping of a file: its pages leave this process, not the system's cache (madvise(2))."""


SPLIT = re.compile(r"(?P<name>.*)-\d{5}-of-(?P<n>\d{5})\.gguf")
"""How llama.cpp names the files of one model."""


def forget_pages(path: Path) -> int:
    """Take the read-only mappings of `path` out of this process's resident memory; how many bytes they map.

    Of the first file of a split model, the mappings of its other files too.
    """
    if not sys.platform.startswith("linux"):
        return 0
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    n_bytes = 0
    for begin, end in _read_only_mappings({str(file.resolve()) for file in _files(path)}):
        if madvise(begin, end - begin, MADV_DONTNEED):
            log.debug("madvise of %s: error %d", path.name, ctypes.get_errno())
        else:
            n_bytes += end - begin
    return n_bytes


def _files(path: Path) -> list[Path]:
    split = SPLIT.fullmatch(path.name)
    return [path] if split is None else list(path.parent.glob(f"{glob.escape(split['name'])}-*-of-{split['n']}.gguf"))


def _read_only_mappings(paths: set[str]) -> list[tuple[int, int]]:
    """Beginning and end of each. A line: `begin-end permissions offset device inode path`."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[1].startswith("r-") and fields[5] in paths:
            begin, _, end = fields[0].partition("-")
            found.append((int(begin, 16), int(end, 16)))
    return found
