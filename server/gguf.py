"""The head of a GGUF file, read before llama.cpp sees it: whether it is whole, and what it says of itself.

llama.cpp answers a bad file with a line of C and a null pointer; this reader answers with a sentence. It
streams: arrays (vocabularies) are skipped, weights are never touched, and no length found in the file is
allocated before it is checked against the file's own size. Knows no model; imports nothing but the standard
library.
Layout: the GGUF specification in ggml's `docs/gguf.md`; block sizes as in `gguf-py/gguf/constants.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from server.errors import StartupError

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

# ggml type -> (values in a block, bytes of a block). A type that is not here is taken to be empty: the check
# of the file's length is then weaker, and a newer llama.cpp may know better.
_BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 36),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    39: (32, 17),
    40: (64, 36),
    41: (128, 18),
    42: (64, 18),
}


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says about itself. `metadata` has its scalars and strings; arrays are skipped.

    `size_bytes` is the file's length, already checked against the tensor table.
    """

    version: int
    n_tensors: int
    size_bytes: int
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def architecture(self) -> str | None:
        """`general.architecture`, "llama" for example."""
        return self._text("general.architecture")

    @property
    def name(self) -> str | None:
        """`general.name`: what the model's makers call it."""
        return self._text("general.name")

    @property
    def chat_template(self) -> str | None:
        """`tokenizer.chat_template`: Jinja source, untrusted."""
        return self._text("tokenizer.chat_template")

    def _text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None


def read_header(path: Path) -> GgufHeader:
    """The header of the GGUF file at `path`, every count and length in it checked.

    Raises `StartupError` if the file is missing, unreadable, not a GGUF of version 2 or 3, damaged, without
    tensors, or shorter than its tensor table says.
    """
    try:
        with path.open("rb") as file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            return _Reader(path, file, size_bytes).header()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartupError(f"cannot read the model {path}: {reason}") from error


class _Reader:
    """Reads one header; every read is bounded by what the file still holds."""

    def __init__(self, path: Path, file: BinaryIO, size_bytes: int) -> None:
        self._path = path
        self._file = file
        self._size_bytes = size_bytes

    def header(self) -> GgufHeader:
        if self._size_bytes < len(MAGIC) or self._take(len(MAGIC)) != MAGIC:
            raise StartupError(f"{self._path} is not a GGUF file (it does not begin with the letters GGUF)")
        version = self._number(_U32)
        if version not in VERSIONS:
            raise StartupError(f"{self._path} is GGUF version {version}; expected 2 or 3 (convert the model again)")
        n_tensors = self._count("tensors", MAX_TENSORS)
        n_metadata = self._count("metadata entries", MAX_METADATA)
        metadata = dict(entry for _ in range(n_metadata) if (entry := self._entry()) is not None)
        if n_tensors == 0:
            raise StartupError(f"{self._path} holds no weights (it is a vocabulary only)")
        self._check_length(n_tensors, metadata.get("general.alignment", 32))
        return GgufHeader(version, n_tensors, self._size_bytes, metadata)

    def _entry(self) -> tuple[str, str | int | float | bool] | None:
        key = self._string(MAX_KEY_BYTES).decode("utf-8", "replace")
        kind = self._number(_U32)
        if kind == _ARRAY:
            self._skip_array(key)
            return None
        if kind == _STRING:
            return key, self._string(MAX_STRING_BYTES).decode("utf-8", "replace")
        return key, self._scalar(kind, key)

    def _scalar(self, kind: int, key: str) -> int | float | bool:
        if kind not in _SCALARS:
            raise self._damaged(f"{key!r} has the unknown type {kind}")
        form = _SCALARS[kind]
        value: int | float | bool = form.unpack(self._take(form.size))[0]
        return value

    def _skip_array(self, key: str) -> None:
        kind = self._number(_U32)
        count = self._number(_U64)
        if kind in _SCALARS:
            self._skip(count * _SCALARS[kind].size)
        elif kind == _STRING:
            if count > MAX_ARRAY_STRINGS:
                raise self._damaged(f"{key!r} claims {count} strings, more than {MAX_ARRAY_STRINGS}")
            for _ in range(count):
                self._skip(self._number(_U64))
        else:
            raise self._damaged(f"{key!r} is an array of the unknown type {kind}")

    def _check_length(self, n_tensors: int, alignment: str | float) -> None:
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
            raise self._damaged(f"general.alignment is {alignment!r}")
        data_bytes = max(self._tensor_end() for _ in range(n_tensors))
        # |header|padding to `alignment`|tensor data, offsets relative to its start|
        needed = -(-self._file.tell() // alignment) * alignment + data_bytes
        if needed > self._size_bytes:
            raise StartupError(
                f"{self._path} is truncated: its {self._size_bytes} bytes are fewer than the {needed} "
                f"of its tensor table (download it again)"
            )

    def _tensor_end(self) -> int:
        self._string(MAX_KEY_BYTES)
        n_dims = self._number(_U32)
        if n_dims > MAX_DIMS:
            raise self._damaged(f"a tensor has {n_dims} dimensions, more than {MAX_DIMS}")
        n_values = 1
        for _ in range(n_dims):
            n_values *= self._number(_U64)
        values, size = _BLOCKS.get(self._number(_U32), (1, 0))
        return self._number(_U64) + n_values // values * size

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
