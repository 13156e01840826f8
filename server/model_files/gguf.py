"""The head of a GGUF file, read before llama.cpp sees it: whether it is whole, and what it says of itself.

llama.cpp answers a bad file with a line of C and a null pointer, or aborts; this reader answers with a sentence.
It streams: long arrays (vocabularies) are skipped, weights are never touched, and no length found in the file is
allocated before it is checked against the file's own size. Knows no model.
Layout: the GGUF specification in ggml's `docs/gguf.md`; what is refused here, `gguf.cpp` refuses or aborts on.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, BinaryIO

from server.errors import StartupError
from server.model_files.ggml_types import GGML_TYPES
from server.model_files.gguf_header import GgufHeader, GgufTensor, Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)  # version 1 counted in 32 bits; llama.cpp refuses it too

# Far above any model's counts, far below what would keep a reader busy: the largest known files have some
# thousands.
MAX_METADATA = 1 << 16
MAX_TENSORS = 1 << 18
MAX_KEY_BYTES = 1 << 16  # the specification's own limit
MAX_STRING_BYTES = 1 << 24  # chat templates are tens of kilobytes
MAX_ARRAY_STRINGS = 1 << 23  # vocabularies are some hundred thousand
MAX_DIMS = 4  # GGML_MAX_DIMS
MAX_TENSOR_NAME_BYTES = 63  # GGML_MAX_NAME, with its NUL
MAX_VALUES = (1 << 63) - 1  # of one tensor: gguf.cpp counts in int64

_STRING, _ARRAY = 8, 9
_SCALARS: Mapping[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]
_BLOCK_BYTES = 1 << 20  # read at once of an array that is skipped


def read_header(path: Path, *, max_array: int = 0) -> GgufHeader:
    """The header of the GGUF file at `path`, with its arrays of up to `max_array` items.

    Raises `StartupError` if the file is missing, unreadable, not a GGUF of version 2 or 3, damaged, without
    tensors (unless it is a part of a split model), or shorter than its tensor table says.
    """
    try:
        with path.open("rb") as file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            return _Reader(path, file, size_bytes, max_array).header()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartupError(f"cannot read the model {path}: {reason}") from error


class _Reader:
    """Reads one header; every read is bounded by what the file still holds."""

    def __init__(self, path: Path, file: BinaryIO, size_bytes: int, max_array: int) -> None:
        self._path = path
        self._file = file
        self._size_bytes = size_bytes
        self._max_array = max_array
        self._metadata: dict[str, Scalar] = {}
        self._arrays: dict[str, tuple[Scalar, ...]] = {}
        self._entry_bytes: dict[str, int] = {}
        self._cut_bytes = 0  # of the current entry: what follows NULs in its strings

    def header(self) -> GgufHeader:
        if self._size_bytes < len(MAGIC) or self._take(len(MAGIC)) != MAGIC:
            raise StartupError(f"{self._path} is not a GGUF file (it does not begin with the letters GGUF)")
        version = self._number(_U32)
        if version not in VERSIONS:
            raise StartupError(f"{self._path} is GGUF version {version}; expected 2 or 3 (convert the model again)")
        n_tensors = self._count("tensors", MAX_TENSORS)
        n_metadata = self._count("metadata entries", MAX_METADATA)
        for _ in range(n_metadata):
            self._entry()
        metadata_end = self._file.tell()
        tensors = self._tensors(n_tensors)
        alignment = self._alignment()
        data_offset = -(-self._file.tell() // alignment) * alignment
        header = GgufHeader(
            version,
            self._size_bytes,
            self._metadata,
            self._arrays,
            self._entry_bytes,
            metadata_end,
            tensors,
            alignment,
            data_offset,
        )
        if n_tensors == 0 and header.split is None:
            raise StartupError(f"{self._path} holds no weights (it is a vocabulary only)")
        self._check_length(header)
        return header

    def _entry(self) -> None:
        start, self._cut_bytes = self._file.tell(), 0
        key = self._string(MAX_KEY_BYTES).decode("utf-8", "replace")
        # C would read the key up to the NUL, and abort where nothing is before it.
        if not key or "\0" in key or key in self._entry_bytes:
            raise self._damaged(f"the metadata key {key!r} is empty, there twice, or holds a NUL")
        kind = self._number(_U32)
        if kind == _ARRAY:
            self._array(key)
        else:
            self._metadata[key] = self._value(kind, key)
        self._entry_bytes[key] = self._file.tell() - start - self._cut_bytes

    def _value(self, kind: int, key: str) -> Scalar:
        if kind == _STRING:
            text = self._string(MAX_STRING_BYTES)
            self._cut_bytes += _after_nul(text)
            return text.decode("utf-8", "replace")
        if kind not in _SCALARS:
            raise self._damaged(f"{key!r} has the unknown type {kind}")
        form = _SCALARS[kind]
        value: int | float | bool = form.unpack(self._take(form.size))[0]
        return value

    def _array(self, key: str) -> None:
        kind = self._number(_U32)
        count = self._number(_U64)
        if kind not in _SCALARS and kind != _STRING:
            raise self._damaged(f"{key!r} is an array of the unknown type {kind}")
        if count <= self._max_array:
            self._arrays[key] = tuple(self._value(kind, key) for _ in range(count))
        elif kind in _SCALARS:
            self._skip(count * _SCALARS[kind].size)
        elif count > MAX_ARRAY_STRINGS:
            raise self._damaged(f"{key!r} claims {count} strings, more than {MAX_ARRAY_STRINGS}")
        else:
            self._skip_strings(count)

    def _skip_strings(self, count: int) -> None:
        """Walk a vocabulary block by block: a read for each of its strings would take most of a second."""
        data, at, cut_bytes = b"", 0, 0
        length_at = _U64.unpack_from
        while count:
            data, at = data[at:] + self._file.read(_BLOCK_BYTES), 0
            n_before, n_data = count, len(data)
            while count and at + 8 <= n_data:
                end = at + 8 + length_at(data, at)[0]
                if end > n_data:
                    break
                if (nul := data.find(b"\0", at + 8, end)) >= 0:
                    cut_bytes += end - nul
                at, count = end, count - 1
            if count == n_before:  # a string longer than a block: no piece of a vocabulary
                self._skip(self._long_string(data))
                data, at, count = b"", 0, count - 1
        self._cut_bytes += cut_bytes
        self._file.seek(at - len(data), 1)

    def _long_string(self, data: bytes) -> int:
        """How much of the string that `data` begins with lies beyond `data`."""
        if len(data) < _U64.size:
            raise self._truncated()
        length: int = _U64.unpack_from(data)[0]
        return _U64.size + length - len(data)

    def _tensors(self, n_tensors: int) -> tuple[GgufTensor, ...]:
        tensors: dict[str, GgufTensor] = {}
        for _ in range(n_tensors):
            tensor = self._tensor()
            if tensor.name in tensors:
                raise self._damaged(f"the tensor {tensor.name!r} is there twice")
            tensors[tensor.name] = tensor
        return tuple(tensors.values())

    def _tensor(self) -> GgufTensor:
        name = self._string(MAX_TENSOR_NAME_BYTES).decode("utf-8", "replace")
        n_dims = self._number(_U32)
        if n_dims > MAX_DIMS:
            raise self._damaged(f"a tensor has {n_dims} dimensions, more than {MAX_DIMS}")
        shape = tuple(self._number(_U64) for _ in range(n_dims))
        type_id, offset = self._number(_U32), self._number(_U64)
        block = GGML_TYPES[type_id].block if type_id in GGML_TYPES else 1
        if (shape or (1,))[0] % block or math.prod(shape) > MAX_VALUES:
            raise self._damaged(f"the tensor {name!r} of shape {list(shape)} cannot be of type {type_id}")
        return GgufTensor(name, shape, type_id, offset)

    def _alignment(self) -> int:
        alignment = self._metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
            raise self._damaged(f"general.alignment is {alignment!r}")
        return alignment

    def _check_length(self, header: GgufHeader) -> None:
        # |header|padding to `alignment`|tensor data, offsets relative to its start|
        data_bytes = max((tensor.offset + tensor.size_bytes for tensor in header.tensors), default=0)
        needed = header.data_offset + data_bytes
        if data_bytes and needed > self._size_bytes:
            raise StartupError(
                f"{self._path} is truncated: its {self._size_bytes} bytes are fewer than the {needed} "
                f"of its tensor table (download it again)"
            )

    def _count(self, what: str, bound: int) -> int:
        count = self._number(_U64)
        if count > bound:
            raise self._damaged(f"it claims {count} {what}, more than {bound}")
        return count

    def _string(self, bound: int) -> bytes:
        length = self._number(_U64)
        if length > bound:
            raise self._damaged(f"it claims a string of {length} bytes, more than {bound}")
        return self._take(length)

    def _number(self, form: struct.Struct) -> int:
        value: int = form.unpack(self._take(form.size))[0]
        return value

    def _take(self, n_bytes: int) -> bytes:
        data = self._file.read(n_bytes)
        if len(data) < n_bytes:
            raise self._truncated()
        return data

    def _skip(self, n_bytes: int) -> None:
        if n_bytes > self._size_bytes - self._file.tell():
            raise self._truncated()
        self._file.seek(n_bytes, 1)

    def _truncated(self) -> StartupError:
        return StartupError(
            f"{self._path} is truncated: its {self._size_bytes} bytes end in the header (download it again)"
        )

    def _damaged(self, what: str) -> StartupError:
        return StartupError(f"{self._path} is damaged: {what} (download it again)")


def _after_nul(text: bytes) -> int:
    nul = text.find(b"\0")
    return len(text) - nul if nul >= 0 else 0
