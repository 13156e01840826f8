"""The few numbers of a model that decide types, and the bounds that llama.cpp asserts on them.

Reads metadata of a GGUF's head only. The law: a number outside llama.cpp's own bounds is refused here, because in
`load_hparams` (`src/llama-model.cpp`) it ends the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantizer.errors import FileFormatError
from server.model_files.gguf_header import GgufHeader, Scalar

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS
MAX_EXPERTS = 1024  # LLAMA_MAX_EXPERTS

# Models whose attn_v llama.cpp spares because eight heads share it (`LLM_TYPE_70B`): architecture -> layers.
_SEVENTY_BILLION: Mapping[str, int] = {"llama": 80, "llama-embed": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What the rules ask of a model. `n_gqa` is query heads to a key-value head in the first layer, 0 without heads."""

    architecture: str
    n_layer: int
    n_gqa: int
    n_expert: int
    is_70b: bool


def hyperparameters(header: GgufHeader) -> Hyperparameters:
    """Those of the model with this head, read with its arrays of up to 512 items.

    Raises `FileFormatError` if the architecture or the count of layers is missing, or a number is out of bounds.
    """
    metadata = _Metadata(header)
    n_layer = metadata.count("block_count")
    if not 0 < n_layer <= MAX_LAYERS:
        raise FileFormatError(f"{metadata.key('block_count')} is {n_layer}, expected 1 to {MAX_LAYERS}")
    n_next = metadata.count("nextn_predict_layers", 0)
    if n_next > n_layer:
        raise FileFormatError(f"{metadata.key('nextn_predict_layers')} is {n_next}, more than all {n_layer} layers")
    n_expert = _experts(metadata)
    n_head = metadata.count("attention.head_count", 0)
    n_head_kv = metadata.count("attention.head_count_kv", n_head)
    is_70b = _SEVENTY_BILLION.get(metadata.architecture) == n_layer - n_next
    if metadata.architecture.startswith("llama"):
        is_70b = is_70b and n_head != n_head_kv and n_expert != 8
    return Hyperparameters(metadata.architecture, n_layer, n_head // n_head_kv if n_head_kv else 0, n_expert, is_70b)


def _experts(metadata: _Metadata) -> int:
    n_expert = metadata.count("expert_count", 0)
    n_used = metadata.most("expert_used_count")
    if n_expert > MAX_EXPERTS or n_used > n_expert or (n_expert > 0 and n_used == 0):
        raise FileFormatError(
            f"{metadata.key('expert_count')} is {n_expert} with {n_used} used; expected at most {MAX_EXPERTS}, "
            f"and 1 to all of them used"
        )
    n_groups = metadata.count("expert_group_count", 0)
    if n_groups and n_groups >= n_expert:
        raise FileFormatError(f"{metadata.key('expert_group_count')} is {n_groups}, expected fewer than {n_expert}")
    n_group_used = metadata.count("expert_group_used_count", 0)
    if n_groups > 1 and (n_expert % n_groups or not 0 < n_group_used < n_groups):
        raise FileFormatError(f"{n_expert} experts cannot be {n_groups} groups of which {n_group_used} are used")
    return n_expert


class _Metadata:
    """One architecture's counts: a number, or an array with one for each layer."""

    def __init__(self, header: GgufHeader) -> None:
        if not header.architecture:
            raise FileFormatError("the file has no general.architecture: it is no model")
        self.architecture = header.architecture
        self._header = header

    def key(self, name: str) -> str:
        return f"{self.architecture}.{name}"

    def count(self, name: str, default: int | None = None) -> int:
        """The number, or the first layer's."""
        key = self.key(name)
        values = self._header.arrays.get(key, ())
        value = self._header.metadata.get(key, values[0] if values else default)
        return self._checked(key, value)

    def most(self, name: str) -> int:
        """The number, or the greatest of all layers', 0 without either."""
        key = self.key(name)
        values = self._header.arrays.get(key, (self._header.metadata.get(key, 0),))
        return max((self._checked(key, value) for value in values), default=0)

    @staticmethod
    def _checked(key: str, value: Scalar | None) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 32:
            raise FileFormatError(f"{key} is {value!r}, expected a count")
        return value
