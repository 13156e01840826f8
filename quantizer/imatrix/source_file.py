"""An imatrix file as a plan wants it: its entries and weights, what the file is called and hashes to.

Knows that a plan keeps an imatrix by its bytes; the formats are `file`'s.
"""

from __future__ import annotations

from pathlib import Path

from quantizer.imatrix.file import read_imatrix
from quantizer.imatrix.source import ImatrixFile
from quantizer.model.hashing import file_sha256


def read_imatrix_source(path: Path) -> ImatrixFile:
    """The imatrix at `path`, GGUF or legacy. Raises `FileFormatError` if it is none, or is damaged."""
    return ImatrixFile(read_imatrix(path), path.name, file_sha256(path))
