"""A tied embedding that a file holds twice, as token_embd.weight and as output.weight: found, and left out.

Some conversions write both, each quantized in its own way, for a quarter of a small model's bytes. llama.cpp needs the
first by name and takes it for the output too where there is no second, so the better copy is kept under that name.
The law: what is left out was the same matrix up to quantization, which is looked at, not assumed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from quantizer.errors import PlanError
from quantizer.model.inventory import Inventory, Tensor
from quantizer.model.layout import ALIGNMENT, entry_bytes
from quantizer.native.rows import dequantized

DROPPED_KEY = "quantizer.dropped"
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"

# Measured on public files: 0.999 between Q5_0 and Q8_0 of one matrix, 0.997 between Q4_K and Q6_K. Rows of matrices
# that have nothing to do with each other agree by about 0; the bound leaves room for copies of three bits a weight.
SAME_COSINE = 0.9
_SAMPLED_ROWS = 64
_TEXT_TYPE = 8  # GGUF_TYPE_STRING
_COPIED_BYTES = 16 << 20


def duplicate_cosine(inventory: Inventory) -> float | None:
    """How alike the embedding and the output are, 1 for the same direction; None if they cannot be copies.

    The mean over rows spread evenly. Reads these rows alone.
    """
    embedding, output = (inventory.by_name.get(name) for name in (EMBEDDING, OUTPUT))
    if embedding is None or output is None or embedding.shape != output.shape or len(embedding.shape) != 2:
        return None
    rows = np.unique(np.linspace(0, embedding.n_rows - 1, _SAMPLED_ROWS).astype(int))
    left, right = (_rows(inventory, tensor, rows) for tensor in (embedding, output))
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    seen = norms > 0
    return float(np.mean((left * right).sum(axis=1)[seen] / norms[seen])) if seen.any() else None


def _rows(inventory: Inventory, tensor: Tensor, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    stored = inventory.data(tensor).reshape(tensor.n_rows, -1)[rows]
    return dequantized(tensor.type, np.ascontiguousarray(stored).reshape(-1)).reshape(len(rows), -1)


def without_duplicate(inventory: Inventory) -> Inventory:
    """The model with one of the two, the one of more bits, under the embedding's name.

    Raises `PlanError` if the model has no second copy, or is in several files.
    """
    cosine = duplicate_cosine(inventory)
    if cosine is None or cosine < SAME_COSINE:
        alike = "" if cosine is None else f" (its output agrees with its embedding by {cosine:.2f}, not {SAME_COSINE})"
        raise PlanError(f"{inventory.path} has no duplicate of its embedding{alike}: leave out the option")
    if len(inventory.paths) > 1:
        raise PlanError(f"{inventory.path} is in {len(inventory.paths)} files: join them to leave out the duplicate")
    copies = [inventory.by_name[name] for name in (EMBEDDING, OUTPUT)]
    kept = max(copies, key=lambda tensor: tensor.type.bits_per_weight)
    dropped = copies[1 - copies.index(kept)]
    said = f"{dropped.name} ({dropped.type.name}), a copy of {kept.name} ({kept.type.name})"
    tensors = tuple(
        replace(kept, name=EMBEDDING) if tensor.name == EMBEDDING else tensor
        for tensor in inventory.tensors
        if tensor.name != OUTPUT
    )
    header = inventory.header
    sizes = {**header.entry_bytes, DROPPED_KEY: entry_bytes(DROPPED_KEY, said)}
    metadata = {**header.metadata, DROPPED_KEY: said}
    changed = replace(header, entry_bytes=sizes, metadata=metadata)
    return replace(inventory, headers=(changed,), tensors=tensors, added={**inventory.added, DROPPED_KEY: said})


@contextmanager
def materialised(inventory: Inventory, beside: Path) -> Iterator[Path]:
    """A file that llama.cpp can read the model from: its own, or one written beside `beside` and removed at the end."""
    if not inventory.added:
        yield inventory.path
        return
    path = beside.with_name(f"{beside.name}.source")
    try:
        with path.open("wb") as file:
            _write(inventory, file)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _write(inventory: Inventory, file: BinaryIO) -> None:
    """The source's metadata as it is, what is added to it, the tensors' table and data."""
    header = inventory.header
    with inventory.path.open("rb") as source:
        magic, version, _, n_entries = struct.unpack("<4sIQQ", source.read(24))
        file.write(struct.pack("<4sIQQ", magic, version, len(inventory.tensors), n_entries + len(inventory.added)))
        _copy(source, file, header.metadata_end - 24)
        file.writelines(
            _text(key) + struct.pack("<I", _TEXT_TYPE) + _text(text) for key, text in inventory.added.items()
        )
        offset = 0
        for tensor in inventory.tensors:
            n_dims = len(tensor.shape)
            table = struct.pack(f"<I{n_dims}QIQ", n_dims, *tensor.shape, tensor.type.id, offset)
            file.write(_text(tensor.name) + table)
            offset += -(-tensor.size_bytes // ALIGNMENT) * ALIGNMENT
        _pad(file)
        for tensor in inventory.tensors:
            source.seek(header.data_offset + tensor.offset)
            _copy(source, file, tensor.size_bytes)
            _pad(file)


def _copy(source: BinaryIO, file: BinaryIO, n_bytes: int) -> None:
    while n_bytes > 0:
        block = source.read(min(n_bytes, _COPIED_BYTES))
        assert block, "the header was checked against the file's length"
        file.write(block)
        n_bytes -= len(block)


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % ALIGNMENT))


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded
