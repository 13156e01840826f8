"""SHA-256 of files: what says that two of them are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from quantizer.errors import FileFormatError


def files_sha256(paths: Iterable[Path]) -> str:
    """SHA-256, in hexadecimal digits, of the files' bytes one after the other. Raises `FileFormatError`.

    The parts of a split model give another hash than the model in one file.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
        except OSError as error:
            raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from error
    return total.hexdigest()
