"""Importance matrices in files: llama.cpp's GGUF form and the older `.dat`, read and written.

Knows layouts and bounds; no model. GGUF heads are read by `server.model_files.gguf`. The law: no length found in a file
is allocated before it is checked against the file's own size, so a hostile file ends in a sentence. What is written
here, llama-quantize of the same commit reads.
Source: `common/imatrix-loader.cpp` and `tools/imatrix/imatrix.cpp` (save_imatrix, save_imatrix_legacy).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from quantizer.errors import FileFormatError
from server.errors import StartupError
from server.model_files.gguf import MAGIC, read_header
from server.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from server.model_files.gguf_header import GgufTensor, Scalar

_ALIGNMENT = 32
_MAX_TENSORS, _MAX_DATASETS = 1 << 18, 1 << 12
_MAX_KEY_BYTES, _MAX_TEXT_BYTES = 1 << 12, 1 << 16
_U32, _STRING, _ARRAY, _F32 = 4, 8, 9, 0
_EXPERTS = "_exps."  # in a name: one weight of many experts, which a `.dat` shows as one matrix
TEXTS_KEY = "functiongate.imatrix.texts"
_SQUARES, _SUMS, _COUNTS = ".in_sum2", ".in_sum", ".counts"


@dataclass(frozen=True, slots=True)
class ImatrixEntry:
    """What flowed into one weight. `sums` is Σx² per column, `[n_mat, n_in]`; `counts` the rows summed, `[n_mat]`.

    `means` is Σx, shaped as `sums`, if it was collected. Files hold float32; a collector may sum in float64.
    """

    sums: NDArray[np.floating]
    counts: NDArray[np.int64]
    means: NDArray[np.floating] | None = None

    @property
    def n_mat(self) -> int:
        """The number of matrices in the weight: its experts, or 1."""
        return len(self.sums)

    def mean_squares(self) -> NDArray[np.float32]:
        """Σx² / count, `[n_mat, n_in]`; 1 for a matrix that nothing was routed to, as llama.cpp has it."""
        counts = np.broadcast_to(self.counts, (self.n_mat,))[:, None].astype(np.float32)
        sums = self.sums.astype(np.float32)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.float32(1))


@dataclass(frozen=True, slots=True)
class Imatrix:
    """An importance matrix: entries by the name of the weight, and what it was made from."""

    entries: Mapping[str, ImatrixEntry]
    datasets: tuple[str, ...] = ()
    chunk_count: int = 0
    chunk_size: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> tuple[str, ...]:
        """SHA-256 of each text that it was collected on, as far as the file tells: llama-imatrix's does not."""
        return tuple(self.extra.get(TEXTS_KEY, "").split())

    def weights(self, name: str) -> NDArray[np.float32]:
        """What `llama_model_quantize` takes for a tensor: Σx²/count, shape `[n_mat * n_in]`. Raises `KeyError`."""
        return self.entries[name].mean_squares().reshape(-1)


def read_imatrix(path: Path) -> Imatrix:
    """The importance matrix in a GGUF or `.dat` file. Raises `FileFormatError` if it is missing, damaged or neither."""
    try:
        with path.open("rb") as file:
            reader = _Reader(path, file)
            found = _read_gguf(path) if reader.begins_with(MAGIC) else _read_dat(reader)
    except OSError as error:
        raise FileFormatError(f"cannot read the imatrix {path}: {error.strerror or error}") from error
    if uneven := uneven_counts(found):
        raise FileFormatError(f"{path} is not a whole imatrix: {uneven} (collect it again)")
    return found


def uneven_counts(imatrix: Imatrix) -> str | None:
    """What tells that some pass over the text was cut off: dense weights of blocks that saw different numbers of rows.

    All of them see every token. Experts see those that are routed to them, and the output's weights are not in every
    matrix that is merged. None if the counts agree.
    """
    seen: dict[int, str] = {}
    for name, entry in imatrix.entries.items():
        if name.startswith("blk.") and entry.n_mat == 1 and _EXPERTS not in name:
            seen.setdefault(int(entry.counts[0]), name)
    if len(seen) < 2:
        return None
    (fewest, one), (most, other) = min(seen.items()), max(seen.items())
    return f"{one} saw {fewest} rows and {other} {most}"


def write_imatrix(path: Path, imatrix: Imatrix) -> None:
    """Write a file that appears whole or not at all: `.dat` by that suffix, GGUF otherwise.

    A `.dat` keeps neither Σx nor counts of single experts. Raises `FileFormatError` if it cannot be written, would be
    empty, or lacks a part of what its tensors should have seen.
    """
    if not imatrix.entries:
        raise FileFormatError(f"an imatrix without entries is not written to {path}: llama.cpp would not read it")
    if uneven := uneven_counts(imatrix):
        raise FileFormatError(f"an imatrix of which a part is missing is not written to {path}: {uneven}")
    data = _dat(imatrix) if path.suffix == ".dat" else _gguf(imatrix)
    try:
        with whole_file(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise FileFormatError(f"cannot write the imatrix {path}: {error.strerror or error}") from error


class _Reader:
    """Reads forward; every length is checked against what the file still holds."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self._file = path, file
        self.size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)

    @property
    def remaining(self) -> int:
        return self.size_bytes - self._file.tell()

    def begins_with(self, magic: bytes) -> bool:
        found = self._file.read(len(magic))
        self._file.seek(0)
        return found == magic

    def take(self, n_bytes: int) -> bytes:
        if not 0 <= n_bytes <= self.remaining:
            raise self.damaged(f"it ends within {n_bytes} bytes that it announces")
        return self._file.read(n_bytes)

    def number(self, form: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def count(self, form: str, what: str, bound: int) -> int:
        value = self.number(form)
        if not 0 <= value <= bound:
            raise self.damaged(f"it claims {value} {what}; the bound is {bound}")
        return value

    def text(self, form: str, bound: int) -> str:
        return self.take(self.count(form, "bytes of text", bound)).decode("utf-8", "replace")

    def floats(self, n: int) -> NDArray[np.float32]:
        if not 0 <= 4 * n <= self.remaining:
            raise self.damaged(f"it ends within {n} numbers that it announces")
        return np.frombuffer(self._file.read(4 * n), dtype="<f4")

    def damaged(self, what: str) -> FileFormatError:
        return _damaged(self.path, what)


def _read_gguf(path: Path) -> Imatrix:
    try:
        header = read_header(path, max_array=_MAX_DATASETS)
    except StartupError as error:
        raise FileFormatError(f"this is no whole imatrix: {error}") from error
    kind = header.metadata.get("general.type", "imatrix")
    tensors = [tensor for tensor in header.tensors if tensor.name.endswith((_SQUARES, _SUMS, _COUNTS))]
    if kind != "imatrix" or not tensors:
        raise FileFormatError(
            f"{path} is no imatrix: it is a GGUF of type {kind!r} with {len(tensors)} sums of squares"
        )
    if others := {tensor.type_id for tensor in tensors} - {_F32}:
        raise _damaged(path, f"it has tensors of the type {min(others)}; an imatrix holds float32")
    # Tensors may not share bytes: a small file could otherwise ask for its own size once for each of them.
    if (n_bytes := sum(tensor.size_bytes for tensor in tensors)) > header.size_bytes:
        raise _damaged(path, f"its tensors need {n_bytes} bytes; the file has {header.size_bytes}")
    with path.open("rb") as file:
        values = {tensor.name: _rows(file, header.data_offset, tensor) for tensor in tensors}
    metadata = header.metadata
    return Imatrix(
        entries=_entries(path, values),
        datasets=tuple(str(name) for name in header.arrays.get("imatrix.datasets", ())),
        chunk_count=_whole(metadata, "imatrix.chunk_count"),
        chunk_size=_whole(metadata, "imatrix.chunk_size"),
        extra={k: v for k, v in metadata.items() if isinstance(v, str) and k != "general.type"},
    )


def _rows(file: BinaryIO, start: int, tensor: GgufTensor) -> NDArray[np.float32]:
    """A tensor's values, `[rows, row length]`; the header was checked against the file's size."""
    file.seek(start + tensor.offset)
    n_in = tensor.shape[0] if tensor.shape else 1
    return np.frombuffer(file.read(tensor.size_bytes), dtype="<f4").reshape(-1 if n_in else 0, n_in)


def _whole(metadata: Mapping[str, Scalar], key: str) -> int:
    value = metadata.get(key)
    return value if isinstance(value, int) else 0


def _damaged(path: Path, what: str) -> FileFormatError:
    return FileFormatError(f"{path} is not a whole imatrix: {what} (collect it again)")


def _entries(path: Path, tensors: Mapping[str, NDArray[np.float32]]) -> dict[str, ImatrixEntry]:
    names = {name.removesuffix(_SQUARES) for name in tensors if name.endswith(_SQUARES)}
    names |= {name.removesuffix(_COUNTS) for name in tensors if name.endswith(_COUNTS)}
    entries = {}
    for name in sorted(names):
        sums, counts = tensors.get(name + _SQUARES), tensors.get(name + _COUNTS)
        means = tensors.get(name + _SUMS)
        if sums is None or counts is None:
            raise _damaged(path, f"{name} has sums without counts, or counts without sums")
        counts = counts.reshape(-1)
        if len(counts) not in {1, len(sums)} or (means is not None and means.shape != sums.shape):
            raise _damaged(path, f"the counts or sums of {name} do not fit its {sums.shape} sums of squares")
        if not ((counts >= 0) & (counts < 2.0**62)).all():
            raise _damaged(path, f"the counts of {name} are outside 0 … 2^62")
        if not np.isfinite(sums).all() or (means is not None and not np.isfinite(means).all()):
            raise _damaged(path, f"the sums of {name} are not all numbers")
        n = np.rint(counts.astype(np.float64)).astype(np.int64)
        entries[name] = ImatrixEntry(sums, np.broadcast_to(n, (len(sums),)).copy(), means)
    return entries


def _read_dat(reader: _Reader) -> Imatrix:
    n_entries = reader.count("<i", "entries", _MAX_TENSORS)
    if n_entries < 1:
        raise reader.damaged("it has no entry")
    entries = {}
    for _ in range(n_entries):
        name = reader.text("<i", _MAX_KEY_BYTES)
        n_calls = reader.number("<i")
        n_values = reader.number("<i")
        if n_values < 1 or n_calls < 0:
            raise reader.damaged(f"{name!r} has {n_values} values of {n_calls} calls")
        # A mean times the calls: dividing by the calls restores the mean, which is all that the form keeps.
        entries[name] = ImatrixEntry(reader.floats(n_values)[None], np.array([n_calls], dtype=np.int64))
    chunk_count = 0
    datasets: tuple[str, ...] = ()
    if reader.remaining:
        chunk_count = max(0, reader.number("<i"))
        if reader.remaining:
            datasets = (reader.text("<i", _MAX_TEXT_BYTES),)
    return Imatrix(entries=entries, datasets=datasets, chunk_count=chunk_count)


def _dat(imatrix: Imatrix) -> bytes:
    parts = [struct.pack("<i", len(imatrix.entries))]
    chunk_size = max(1, imatrix.chunk_size)
    for name, entry in sorted(imatrix.entries.items()):
        encoded = name.encode()
        n_calls = -(-int(entry.counts.max()) // chunk_size)
        values = (entry.mean_squares() * np.float32(n_calls)).astype("<f4")
        parts += [struct.pack("<i", len(encoded)), encoded, struct.pack("<ii", n_calls, values.size), values.tobytes()]
    dataset = (imatrix.datasets[-1] if imatrix.datasets else "").encode()
    parts += [struct.pack("<ii", imatrix.chunk_count, len(dataset)), dataset]
    return b"".join(parts)


def _gguf(imatrix: Imatrix) -> bytes:
    tensors = {}
    for name, entry in sorted(imatrix.entries.items()):
        tensors[name + _SQUARES] = entry.sums.astype("<f4")
        tensors[name + _COUNTS] = entry.counts.astype("<f4").reshape(-1, 1)
        if entry.means is not None:
            tensors[name + _SUMS] = entry.means.astype("<f4")
    datasets = b"".join(_text(name) for name in imatrix.datasets)
    keys = [
        _text("general.type") + struct.pack("<I", _STRING) + _text("imatrix"),
        _text("imatrix.datasets") + struct.pack("<IIQ", _ARRAY, _STRING, len(imatrix.datasets)) + datasets,
        _text("imatrix.chunk_count") + struct.pack("<II", _U32, imatrix.chunk_count),
        _text("imatrix.chunk_size") + struct.pack("<II", _U32, imatrix.chunk_size),
        *(_text(key) + struct.pack("<I", _STRING) + _text(value) for key, value in sorted(imatrix.extra.items())),
    ]
    head = struct.pack("<4sIQQ", MAGIC, 3, len(tensors), len(keys)) + b"".join(keys)
    offset, data = 0, []
    for name, values in tensors.items():
        n_rows, n_in = values.shape
        head += _text(name) + struct.pack("<IQQIQ", 2, n_in, n_rows, _F32, offset)
        data.append(_padded(values.tobytes()))
        offset += len(data[-1])
    return _padded(head) + b"".join(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded
