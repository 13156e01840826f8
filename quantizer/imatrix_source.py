"""An imatrix file as a plan wants it: entries, weights, and what the file is called and hashes to.

Knows llama.cpp's GGUF imatrix as far as reading goes. The law: what is no imatrix is refused with a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantizer.activations import ImatrixFile
from quantizer.errors import FileFormatError
from quantizer.hashing import files_sha256
from server.errors import StartupError
from server.gguf import read_header
from server.gguf_header import GgufHeader

_MAX_DATASETS = 1024
_SUMS, _COUNTS = ".in_sum2", ".counts"
_MEANS = ".in_sum"  # what this package's own files have beside them; quantizing asks for squares only


@dataclass(frozen=True, slots=True)
class _Entry:
    sums: NDArray[np.float32]
    counts: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Imatrix:
    entries: Mapping[str, _Entry]
    datasets: tuple[str, ...]
    chunk_count: int

    def weights(self, name: str) -> NDArray[np.float32]:
        entry = self.entries[name]
        counts = entry.counts[:, None]
        seen = counts > 0
        return np.where(seen, entry.sums / np.where(seen, counts, 1), np.float32(1)).astype(np.float32).reshape(-1)


def read_imatrix_source(path: Path) -> ImatrixFile:
    """The GGUF imatrix at `path`. Raises `FileFormatError` if it is none, or is damaged."""
    try:
        header = read_header(path, max_array=_MAX_DATASETS)
    except StartupError as error:
        raise FileFormatError(str(error)) from error
    datasets = header.arrays.get("imatrix.datasets")
    chunk_count = header.metadata.get("imatrix.chunk_count")
    if datasets is None or not isinstance(chunk_count, int):
        raise FileFormatError(f"{path} is no imatrix: it has no imatrix.datasets and imatrix.chunk_count")
    values = {name: value for name, value in _values(path, header).items() if not name.endswith(_MEANS)}
    entries = {
        name: _Entry(values[name + _SUMS], values[name + _COUNTS].reshape(-1))
        for name in (key.removesuffix(_SUMS) for key in values if key.endswith(_SUMS))
        if name + _COUNTS in values and len(values[name + _COUNTS]) == len(values[name + _SUMS])
    }
    if 2 * len(entries) != len(values):
        raise FileFormatError(f"{path} is damaged: sums and counts of its {len(values)} tensors do not fit each other")
    return ImatrixFile(_Imatrix(entries, tuple(map(str, datasets)), chunk_count), path.name, files_sha256([path]))


def _values(path: Path, header: GgufHeader) -> dict[str, NDArray[np.float32]]:
    """Every tensor as a matrix, float32; with experts, one row for each."""
    data = np.memmap(path, np.uint8, "r")
    found: dict[str, NDArray[np.float32]] = {}
    for tensor in header.tensors:
        if tensor.type_id != 0 or not tensor.shape or not tensor.size_bytes:
            raise FileFormatError(f"{path}: {tensor.name} is no tensor of an imatrix (type {tensor.type_id})")
        start = header.data_offset + tensor.offset
        flat = np.array(data[start : start + tensor.size_bytes]).view(np.float32)
        found[tensor.name] = flat.reshape(-1, tensor.shape[0])
    return found
