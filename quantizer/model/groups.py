"""Tensors by what they are for, and what they weigh: the rows of every table about bits.

Pure arithmetic. The law: bits per weight are bits of tensor data to a value, scales included, padding and metadata not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from quantizer.model.inventory import Tensor
from quantizer.model.layout import tensor_bytes
from server.model_files.ggml_types import GgmlType

_EMBEDDINGS = frozenset({"token_embd", "per_layer_token_embd", "output"})


@dataclass(frozen=True, slots=True)
class Group:
    """Some tensors together. `types` counts them by type's name, the most frequent first."""

    name: str
    n_tensors: int
    n_values: int
    size_bytes: int
    types: Mapping[str, int]

    @property
    def bits_per_weight(self) -> float:
        """Bits of data to a value."""
        return 8 * self.size_bytes / self.n_values


def group_of(tensor: Tensor) -> str:
    """`embedding`, `attention`, `feed-forward`, or `other`: norms, biases, recurrent parts."""
    if tensor.kind in _EMBEDDINGS:
        return "embedding"
    if tensor.name.endswith(".weight") and "norm" not in tensor.kind:
        if tensor.kind.startswith("attn_"):
            return "attention"
        if tensor.kind.startswith("ffn_"):
            return "feed-forward"
    return "other"


def grouped(typed: Iterable[tuple[Tensor, GgmlType]], key: Callable[[Tensor], str] = group_of) -> tuple[Group, ...]:
    """The tensors, each with the type that it has or will have, in groups by `key`, the heaviest first."""
    members: dict[str, list[tuple[Tensor, GgmlType]]] = {}
    for tensor, kind in typed:
        members.setdefault(key(tensor), []).append((tensor, kind))
    groups = [_group(name, pairs) for name, pairs in members.items()]
    return tuple(sorted(groups, key=lambda group: (-group.size_bytes, group.name)))


def _group(name: str, pairs: list[tuple[Tensor, GgmlType]]) -> Group:
    types = Counter(kind.name for _, kind in pairs)
    return Group(
        name,
        len(pairs),
        sum(tensor.n_values for tensor, _ in pairs),
        sum(tensor_bytes(tensor, kind) for tensor, kind in pairs),
        dict(types.most_common()),
    )
