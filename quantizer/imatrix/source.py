"""What quantizing needs of an imatrix: a weight for every input column, and where the file came from.

Formats are `file`'s: an imatrix is whatever has entries and weights, and a plan keeps it by its file's bytes. The law:
a plan looks at names and lengths only; the numbers are asked for when they are given to llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quantizer.imatrix.file import read_imatrix
from quantizer.model.hashing import file_sha256


class Entry(Protocol):
    """One tensor's sums: `sums` of squared inputs, `[n_matrices, row_length]`, and the `counts` of rows."""

    @property
    def sums(self) -> NDArray[np.floating]: ...  # noqa: D102  described above

    @property
    def counts(self) -> NDArray[np.number]: ...  # noqa: D102  described above


class Imatrix(Protocol):
    """Activations by tensor, as llama-imatrix or this package collects them."""

    @property
    def entries(self) -> Mapping[str, Entry]: ...  # noqa: D102  by the weight's name

    @property
    def datasets(self) -> tuple[str, ...]: ...  # noqa: D102  names of the texts

    @property
    def chunk_count(self) -> int: ...  # noqa: D102  chunks of text seen

    def weights(self, name: str) -> NDArray[np.float32]:
        """Mean squares, float32 `[n_matrices * row_length]`, ready for llama.cpp; 1.0 where nothing was seen."""
        ...


@dataclass(frozen=True, slots=True)
class ImatrixFile:
    """An imatrix and the file that it was read from: its name and its SHA-256 in hexadecimal digits.

    `texts` are the SHA-256 of those that it was collected on, as far as it tells.
    """

    imatrix: Imatrix
    file_name: str
    sha256: str
    texts: tuple[str, ...] = ()


def read_imatrix_source(path: Path) -> ImatrixFile:
    """The imatrix at `path`, GGUF or legacy. Raises `FileFormatError` if it is none, or is damaged."""
    imatrix = read_imatrix(path)
    return ImatrixFile(imatrix, path.name, file_sha256(path), imatrix.texts)
