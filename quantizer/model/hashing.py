"""SHA-256 of files: what says that two of them are the same.

A model's hash is remembered from one verb to the next (`server.model_files.model_hash`). Those of the small files that
go with it are not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantizer.errors import FileFormatError
from server.model_files.cache import cache_directory
from server.model_files.model_hash import model_hash

_FIRST_PART = re.compile(r"-00001-of-(\d{5})\.gguf$")


def file_sha256(path: Path) -> str:
    """SHA-256, in hexadecimal digits, of a file's bytes. Raises `FileFormatError` if it cannot be read."""
    with _refused(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_sha256(path: Path) -> str:
    """SHA-256 of a model file's bytes; of a split one's, whose first part `path` is, the hash of its files' hashes.

    Raises `FileFormatError` if a file cannot be read.
    """
    with _refused(path):
        hashes = [model_hash(part, cache_directory()) for part in _parts(path)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _parts(path: Path) -> list[Path]:
    """All files of a split model whose first one `path` is, by llama.cpp's rule of names; else `path` alone."""
    if not (found := _FIRST_PART.search(path.name)):
        return [path]
    n = int(found[1])
    parts = [path.with_name(f"{path.name[: found.start()]}-{i:05}-of-{n:05}.gguf") for i in range(1, n + 1)]
    return [part for part in parts if part.exists()]


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileFormatError(f"cannot read {error.filename or path}: {error.strerror or error}") from error
