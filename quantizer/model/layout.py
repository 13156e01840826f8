"""How long the file is that llama.cpp will write, to the byte: its head, its tensor table, its padded data.

Pure arithmetic on names, shapes and types. The law: what is predicted is what is written; source: `gguf_write_out`
(`ggml/src/gguf.cpp`) and `llama_model_quantize_impl` (`src/llama-quant.cpp`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quantizer.model.inventory import Inventory, Tensor
from server.model_files.ggml_types import GgmlType

ALIGNMENT = 32  # GGUF_DEFAULT_ALIGNMENT, whatever the source's was
MAX_TEXT_BYTES = 127  # of a key or a text in llama_model_kv_override, which ends in a NUL

Value = str | int | bool
Entries = Mapping[str, Value]
"""Metadata to write: text, a count (u32) or a truth value."""

_HEAD_BYTES = 4 + 4 + 8 + 8  # magic, version, count of tensors, count of metadata entries
_SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")
# |length u64|key|type u32|value|: two counts in u16, one in i32
_SPLIT_BYTES = sum(8 + len(key) + 4 for key in _SPLIT_KEYS) + 2 + 2 + 4


def entry_bytes(key: str, value: Value) -> int:
    """Length of one metadata entry, encoded."""
    head = 8 + len(key.encode()) + 4
    if isinstance(value, str):
        return head + 8 + len(value.encode())
    return head + (1 if isinstance(value, bool) else 4)


def tensor_bytes(tensor: Tensor, kind: GgmlType) -> int:
    """Length of a tensor's data in that type, without padding."""
    return tensor.n_values // kind.block * kind.block_bytes


def file_bytes(
    inventory: Inventory, types: Mapping[str, GgmlType], entries: Entries, *, keep_split: bool
) -> tuple[int, ...]:
    """Length of each file that is written, with `entries` added to the source's metadata or put in its entries' place.

    `types` has the tensors whose type is not the source's.
    """
    kept = {key: size for key, size in inventory.header.entry_bytes.items() if key not in _SPLIT_KEYS}
    kept |= {key: entry_bytes(key, value) for key, value in entries.items()}
    metadata = sum(kept.values())
    if not keep_split:
        return (_file(inventory.tensors, types, metadata),)
    parts = [[tensor for tensor in inventory.tensors if tensor.part == part] for part in range(len(inventory.paths))]
    return tuple(
        _file(tensors, types, _SPLIT_BYTES + (metadata if part == 0 else 0)) for part, tensors in enumerate(parts)
    )


def _file(tensors: Sequence[Tensor], types: Mapping[str, GgmlType], metadata_bytes: int) -> int:
    table = sum(8 + len(tensor.name.encode()) + 4 + 8 * len(tensor.shape) + 4 + 8 for tensor in tensors)
    data = sum(_padded(tensor_bytes(tensor, types.get(tensor.name, tensor.type))) for tensor in tensors)
    return _padded(_HEAD_BYTES + metadata_bytes + table) + data


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
