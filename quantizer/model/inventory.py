"""What a model consists of: its tensors in llama.cpp's order, its metadata, its files. Read from heads alone.

Knows no recipe. The law: no weight is read, and whatever is returned is safe to give to llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantizer.errors import FileFormatError
from quantizer.model.hyperparameters import MAX_LAYERS, Hyperparameters, hyperparameters
from server.errors import StartupError
from server.model_files.ggml_types import GGML_TYPES, GgmlType
from server.model_files.gguf import read_header
from server.model_files.gguf_header import GgufHeader, GgufTensor

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_BLOCK = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor. `shape` is ggml's, the row's length first, without trailing ones; `part` is its file's index."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    part: int
    offset: int

    @property
    def row_length(self) -> int:
        """Values of a row: what blocks must divide."""
        return self.shape[0]

    @property
    def n_values(self) -> int:
        """How many values it holds."""
        n_values = 1
        for length in self.shape:
            n_values *= length
        return n_values

    @property
    def n_rows(self) -> int:
        """How many rows, over all experts."""
        return self.n_values // self.row_length

    @property
    def n_matrices(self) -> int:
        """How many matrices: experts, or 1."""
        return self.shape[2] if len(self.shape) > 2 else 1

    @property
    def size_bytes(self) -> int:
        """Its data's length."""
        return self.n_values // self.type.block * self.type.block_bytes

    @property
    def layer(self) -> int | None:
        """The block that it belongs to; None of embeddings, output and the like."""
        match = _BLOCK.match(self.name)
        return int(match[1]) if match else None

    @property
    def kind(self) -> str:
        """What it is in any layer: `attn_q`, `ffn_down`, `token_embd`; a bias keeps its ending."""
        return _BLOCK.sub("", self.name, count=1).removesuffix(".weight")


@dataclass(frozen=True)
class Inventory:
    """A model's head, over all its files. `tensors` stand in the order in which llama.cpp quantizes.

    `added` is metadata that the files do not have: the mark of a model that differs from them, and has to be written
    before llama.cpp can read it (`quantizer.model.duplicate`).
    """

    paths: tuple[Path, ...]
    headers: tuple[GgufHeader, ...]
    tensors: tuple[Tensor, ...]
    hyperparameters: Hyperparameters
    added: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file that llama.cpp is given: the first."""
        return self.paths[0]

    @property
    def header(self) -> GgufHeader:
        """The first file's, which has the metadata."""
        return self.headers[0]

    @cached_property
    def by_name(self) -> Mapping[str, Tensor]:
        """Tensors by name."""
        return {tensor.name: tensor for tensor in self.tensors}

    @property
    def is_tied(self) -> bool:
        """Whether the embedding is the output too."""
        return "output.weight" not in self.by_name

    def data(self, tensor: Tensor) -> NDArray[np.uint8]:
        """The bytes of a tensor, mapped from its file: nothing is read until it is looked at."""
        start = self.headers[tensor.part].data_offset + tensor.offset
        return np.memmap(self.paths[tensor.part], np.uint8, "r", start, (tensor.size_bytes,))

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(header.size_bytes for header in self.headers)

    @property
    def text_metadata(self) -> Mapping[str, str]:
        """The metadata that is text, as `chat_templates.detect_family` reads it."""
        return {key: value for key, value in self.header.metadata.items() if isinstance(value, str)}


def read_inventory(path: Path) -> Inventory:
    """The inventory of the model at `path`, a GGUF file or the first of a split model's.

    Raises `FileFormatError` if a file is missing, damaged, of a tensor type that is not known, or if the parts do not
    belong together.
    """
    headers = [_header(path)]
    paths = [path]
    if (split := headers[0].split) is not None:
        paths = _parts(path, split.count)
        headers += [_header(part) for part in paths[1:]]
    tensors = [_tensor(paths[part], part, tensor) for part, header in enumerate(headers) for tensor in header.tensors]
    _check_parts(paths, headers, tensors)
    try:
        numbers = hyperparameters(headers[0])
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    ordered = sorted(tensors, key=lambda tensor: (-1 if tensor.layer is None else tensor.layer, tensor.name.encode()))
    return Inventory(tuple(paths), tuple(headers), tuple(ordered), numbers)


def _header(path: Path) -> GgufHeader:
    try:
        return read_header(path, max_array=MAX_LAYERS)
    except StartupError as error:
        raise FileFormatError(str(error)) from error


def _parts(path: Path, count: int) -> list[Path]:
    match = _PART.search(path.name)
    if match is None or int(match[1]) != 1 or int(match[2]) != count:
        raise FileFormatError(
            f"{path} is a part of a model in {count} files; give the first, named …-00001-of-{count:05}.gguf"
        )
    stem = path.name[: match.start()]
    return [path.with_name(f"{stem}-{part:05}-of-{count:05}.gguf") for part in range(1, count + 1)]


def _tensor(path: Path, part: int, entry: GgufTensor) -> Tensor:
    kind = GGML_TYPES.get(entry.type_id)
    if kind is None:
        raise FileFormatError(f"{path}: the tensor {entry.name!r} is of the unknown type {entry.type_id}")
    if not entry.name.isprintable() or "\N{REPLACEMENT CHARACTER}" in entry.name:
        raise FileFormatError(f"{path}: a tensor's name is {entry.name!r}, which is no text")
    if 0 in entry.shape:
        raise FileFormatError(f"{path}: the tensor {entry.name!r} is empty, of shape {list(entry.shape)}")
    shape = entry.shape or (1,)
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return Tensor(entry.name, shape, kind, part, entry.offset)


def _check_parts(paths: list[Path], headers: list[GgufHeader], tensors: list[Tensor]) -> None:
    for index, (path, header) in enumerate(zip(paths, headers, strict=True)):
        if len(paths) > 1 and (header.split is None or header.split.index != index):
            raise FileFormatError(f"{path} is not part {index + 1} of {len(paths)} of its model")
        if header.alignment & (header.alignment - 1):
            raise FileFormatError(f"{path}: general.alignment is {header.alignment}, expected a power of 2")
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise FileFormatError(f"{paths[0]}: a tensor is in two of the model's files")
    split = headers[0].split
    if split is not None and split.n_tensors != len(tensors):
        raise FileFormatError(f"{paths[0]}: split.tensors.count is {split.n_tensors}; the files hold {len(tensors)}")
