"""Activations made by hand: the quantizer's view of an imatrix, and a file of one as llama.cpp writes it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantizer.imatrix.source import ImatrixFile
from quantizer.model.inventory import Inventory


@dataclass(frozen=True)
class HandMadeEntry:
    sums: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class HandMadeImatrix:
    entries: Mapping[str, HandMadeEntry]
    datasets: tuple[str, ...] = ("made by hand",)
    chunk_count: int = 7
    chunk_size: int = 512

    def weights(self, name: str) -> np.ndarray:
        entry = self.entries[name]
        return (entry.sums / entry.counts[:, None]).astype(np.float32).reshape(-1)


def hand_made_imatrix(
    inventory: Inventory, *, seed: int = 0, but: tuple[str, ...] = (), tied: bool = False
) -> ImatrixFile:
    """Activations for every matrix of the layers, but those of these kinds; if `tied`, also of a tied embedding."""
    rng = np.random.default_rng(seed)
    entries = {
        tensor.name: HandMadeEntry(
            rng.uniform(1, 100, (tensor.n_matrices, tensor.row_length)).astype(np.float32),
            np.full(tensor.n_matrices, 16, np.float32),
        )
        for tensor in inventory.tensors
        if (tensor.layer is not None and len(tensor.shape) > 1 and tensor.kind not in but)
        or (tied and inventory.is_tied and tensor.name == "token_embd.weight")
    }
    return ImatrixFile(HandMadeImatrix(entries), "hand-made.gguf", "ab" * 32)


def write_imatrix(made: ImatrixFile, path: Path) -> Path:
    """The file that llama-imatrix would write: sums and counts by tensor, four entries of metadata."""
    entries = [
        _text("general.type") + struct.pack("<I", 8) + _text("imatrix"),
        _text("imatrix.datasets") + struct.pack("<IIQ", 9, 8, len(made.imatrix.datasets)),
        _text("imatrix.chunk_count") + struct.pack("<II", 4, made.imatrix.chunk_count),
        _text("imatrix.chunk_size") + struct.pack("<II", 4, 512),
    ]
    entries[1] += b"".join(map(_text, made.imatrix.datasets))
    tensors = {}
    for name, entry in made.imatrix.entries.items():
        tensors[f"{name}.in_sum2"] = entry.sums
        tensors[f"{name}.counts"] = entry.counts[:, None]
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)) + b"".join(entries)
    body = b""
    for name, values in tensors.items():
        head += _text(name) + struct.pack("<IQQIQ", 2, values.shape[1], values.shape[0], 0, len(body))
        body += values.astype(np.float32).tobytes()
        body += bytes(-len(body) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + body)
    return path


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()
