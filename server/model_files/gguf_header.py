"""What a GGUF file says about itself, as data: metadata, the table of tensors, which part of a split model it is.

Read by `server.model_files.gguf`, which has checked every length in it. Knows no file handle and no model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from server.model_files.ggml_types import GGML_TYPES

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One entry of the tensor table. `shape` is ggml's: the row's length first. `offset` counts from `data_offset`."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int

    @property
    def n_values(self) -> int:
        """How many values it holds."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Its data's length. A type that this reader does not know is taken to be empty: newer ones exist."""
        kind = GGML_TYPES.get(self.type_id)
        return self.n_values // kind.block * kind.block_bytes if kind else 0


@dataclass(frozen=True, slots=True)
class GgufSplit:
    """Which part of how many a file is, and how many tensors all parts hold together."""

    index: int
    count: int
    n_tensors: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says about itself, every length in it already checked against the file's own.

    `metadata` has its scalars and strings, `arrays` the arrays that are no longer than was asked for; they end at
    `metadata_end`, counted from the file's start.
    `entry_bytes` is what each metadata entry, skipped or not, takes when llama.cpp writes it again (it cuts a
    string at a NUL). `tensors` are in the file's order; their data begins at `data_offset`, a multiple of `alignment`.
    """

    version: int
    size_bytes: int
    metadata: Mapping[str, Scalar]
    arrays: Mapping[str, tuple[Scalar, ...]]
    entry_bytes: Mapping[str, int]
    metadata_end: int
    tensors: tuple[GgufTensor, ...]
    alignment: int
    data_offset: int

    @property
    def n_tensors(self) -> int:
        """How many tensors this file holds."""
        return len(self.tensors)

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

    @property
    def split(self) -> GgufSplit | None:
        """Which part of a split model this file is; None of a model in one file."""
        index, count, n_tensors = (self.metadata.get(f"split.{key}") for key in ("no", "count", "tensors.count"))
        if not isinstance(index, int) or not isinstance(count, int) or count <= 1:
            return None
        return GgufSplit(index, count, n_tensors if isinstance(n_tensors, int) else 0)

    def _text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None
