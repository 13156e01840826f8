"""llama.cpp's own choice of types for each stock file type: `src/llama-quant.cpp`, rule for rule.

Pure: an inventory and a file type in, a type for every tensor out. Rows that do not fit are not its concern
(`planning.types.fallback`), nor are a user's wishes. The law: what llama-quantize would choose without overrides, this
module chooses, including counters that skip nothing and a branch of the original that is never reached (`attn_qkv` is
treated as `attn_v` before its own rule is asked).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quantizer.errors import PlanError
from quantizer.model.categories import Category, allows_quantization, category
from quantizer.model.inventory import Inventory, Tensor
from quantizer.planning.types import TARGETS, FileType, fits
from server.model_files.ggml_types import GgmlType

_ONE_AND_TWO_BIT = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})
_OUTPUT_Q5_K = _ONE_AND_TWO_BIT | {"IQ3_XXS"}
_IQ2_S_OR_M = frozenset({"IQ2_S", "IQ2_M"})

# What an untied embedding becomes: a lookup bears fewer bits than a product.
_EMBEDDING: Mapping[str, str] = {
    "IQ1_S": "Q2_K",
    "IQ1_M": "Q2_K",
    "IQ2_XXS": "Q2_K",
    "IQ2_XS": "Q2_K",
    "IQ2_S": "IQ3_S",
    "IQ2_M": "IQ3_S",
    "IQ3_XXS": "IQ3_S",
    "TQ1_0": "Q4_K",
    "TQ2_0": "Q4_K",
    "Q2_0": "Q4_K",
}
_ATTENTION_OUTPUT: Mapping[str, str] = {
    "Q2_K": "Q3_K",
    "IQ3_XXS": "IQ3_S",
    "Q3_K_M": "Q4_K",
    "Q3_K_L": "Q5_K",
    "IQ3_M": "Q4_K",
}
_EIGHT_EXPERTS_OUTPUT_Q5_K = frozenset(
    {"Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M", "IQ4_XS"},
)
_LOW_OUTPUT: Mapping[str, str] = {"IQ1_S": "IQ2_XXS", "IQ1_M": "IQ2_XXS", "IQ2_S": "IQ3_S", "IQ2_M": "IQ3_S"}
_V: Mapping[str, str] = {"Q2_K": "Q3_K", "IQ3_M": "Q4_K", "Q3_K_L": "Q5_K"}
# Where four or more query heads share one attn_v it is small, and errs for all of them.
_SHARED_V: Mapping[str, str] = {
    "Q2_K": "Q4_K",
    "Q2_K_S": "Q4_K",
    "IQ3_XXS": "Q4_K",
    "IQ3_XS": "Q4_K",
    "IQ3_S": "Q4_K",
    "IQ4_NL": "Q5_K",
    "IQ4_XS": "Q5_K",
}
_FFN_DOWN: Mapping[str, str] = {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}
# The first eighth of ffn_down by (file type, has activations). Early layers have outliers that Q4_0 and Q5_0 cannot
# follow, and Q4_1 and Q5_1 do so only with activations.
_FIRST_FFN_DOWN: Mapping[tuple[str, bool], str] = {
    ("IQ3_XXS", False): "Q4_K",
    ("IQ3_M", False): "Q4_K",
    ("IQ3_M", True): "Q4_K",
    ("Q2_K_S", False): "Q4_K",
    ("Q2_K_S", True): "Q4_K",
    ("IQ4_NL", False): "Q5_K",
    ("IQ4_XS", False): "Q5_K",
    ("Q4_K_S", False): "Q5_K",
    ("Q4_K_S", True): "Q5_K",
    ("Q4_0", True): "Q4_1",
    ("Q5_0", True): "Q5_1",
}
_QUERY_AND_KEY: Mapping[str, str] = {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}

_GLM5_Q8_0_PARTS = ("attn_q_a", "attn_q_b", "nextn.eh_proj")


def more_bits(layer: int, n_layer: int) -> bool:
    """Whether a layer gets the better type of a `_M` mix: the first and last eighth, and every third between."""
    return layer < n_layer // 8 or layer >= 7 * n_layer // 8 or (layer - n_layer // 8) % 3 == 2


def stock_types(inventory: Inventory, file_type: FileType, *, has_imatrix: bool) -> dict[str, GgmlType]:
    """The type that llama-quantize asks for, for every tensor that it may change, by name.

    Tensors that it leaves alone are not in the result. Rows that do not fit the type are not looked at, but for the
    output's, which the rules themselves look at.
    """
    rules = _Rules(inventory, file_type, has_imatrix=has_imatrix)
    architecture = inventory.hyperparameters.architecture
    changed = [tensor for tensor in inventory.tensors if allows_quantization(tensor, architecture)]
    if not file_type.default.is_quantized:
        return {tensor.name: file_type.default for tensor in changed}
    return {tensor.name: rules.choose(tensor) for tensor in changed}


class _Rules:
    """One pass over a model. Mutable: it counts what it has seen, because the rules do."""

    def __init__(self, inventory: Inventory, file_type: FileType, *, has_imatrix: bool) -> None:
        self._model = inventory.hyperparameters
        self._is_tied = inventory.is_tied
        self._ftype = file_type.name
        self._default = file_type.default
        self._has_imatrix = has_imatrix
        # Attention is counted over all tensors, changed or not; the feed-forward parts have the model's layers.
        self._n_attention_v = sum(category(tensor.name) is Category.ATTENTION_V for tensor in inventory.tensors)
        self._seen = dict.fromkeys(Category, 0)
        self._choosers: Mapping[Category, Callable[[Tensor], str]] = {
            Category.ATTENTION_V: self._attention_v,
            Category.ATTENTION_K: self._attention_k,
            Category.ATTENTION_Q: self._attention_q,
            Category.ATTENTION_OUTPUT: self._attention_output,
            Category.FFN_DOWN: self._ffn_down,
            Category.FFN_GATE: self._ffn_gate_or_up,
            Category.FFN_UP: self._ffn_gate_or_up,
        }

    def choose(self, tensor: Tensor) -> GgmlType:
        """The type of the next tensor, in llama.cpp's order."""
        found = category(tensor.name)
        name = self._exception(tensor, found)
        if name is None:
            name = self._chooser(found)(tensor)
            self._seen[found] += 1
        return TARGETS[name]

    def _exception(self, tensor: Tensor, found: Category) -> str | None:
        """What is decided before the layers' rules, and without counting."""
        if self._model.architecture == "glm5-next" and any(part in tensor.name for part in _GLM5_Q8_0_PARTS):
            return "Q8_0"
        if found is Category.OUTPUT or (found is Category.TOKEN_EMBD and self._is_tied):
            return self._output(tensor)
        if self._ftype == "MXFP4_MOE":
            return "MXFP4" if self._is_expert(tensor, found) else "Q8_0"
        if found is Category.TOKEN_EMBD:
            return _EMBEDDING.get(self._ftype, self._default.name)
        return None

    def _output(self, tensor: Tensor) -> str:
        if (
            self._ftype == "MXFP4_MOE"
            or self._model.architecture == "falcon"
            or not fits(self._default, tensor.row_length)
        ):
            return "Q8_0"
        if self._ftype in _OUTPUT_Q5_K:
            return "Q5_K"
        return "Q8_0" if self._default.name == "Q8_0" else "Q6_K"

    def _is_expert(self, tensor: Tensor, found: Category) -> bool:
        if self._model.architecture == "bailingmoe3":  # its latent projections have three dimensions too
            return tensor.n_matrices > 1 and found in (Category.FFN_UP, Category.FFN_GATE, Category.FFN_DOWN)
        return tensor.n_matrices > 1

    def _chooser(self, found: Category) -> Callable[[Tensor], str]:
        if self._ftype in _ONE_AND_TWO_BIT:
            return self._one_and_two_bit
        return self._choosers.get(found, self._unmentioned)

    def _unmentioned(self, _tensor: Tensor) -> str:
        return self._default.name

    def _layer(self, tensor: Tensor, found: Category) -> int:
        """The index that the rules take for the layer: how many were seen, or the name's in a model of experts."""
        if self._model.n_expert <= 1:
            return self._seen[found]
        layer = tensor.layer
        if layer is None or layer >= self._model.n_layer:
            raise PlanError(
                f"{tensor.name} is of no layer 0 to {self._model.n_layer - 1}: llama.cpp refuses a model of experts "
                f"with such a tensor for {self._ftype} (name its type in a pure recipe)"
            )
        return layer

    def _one_and_two_bit(self, tensor: Tensor) -> str:
        found = category(tensor.name)
        better = "IQ3_S" if self._ftype in _IQ2_S_OR_M else "Q2_K"
        if found is Category.ATTENTION_V:
            return "Q4_K" if self._model.n_gqa >= 4 or self._model.n_expert >= 4 else better
        if found is Category.ATTENTION_K and self._model.n_expert == 8:
            return "Q4_K"
        # Counted even among experts, where the other file types read the name.
        if found is Category.FFN_DOWN and self._seen[found] < self._model.n_layer // 8:
            return better
        if found is Category.ATTENTION_OUTPUT:
            return "Q5_K" if self._model.n_expert == 8 else _LOW_OUTPUT.get(self._ftype, self._default.name)
        return self._default.name

    def _attention_v(self, _tensor: Tensor) -> str:
        if self._model.n_expert == 8:
            return "Q8_0"
        chosen = self._attention_v_of_mix()
        return "Q5_K" if self._model.is_70b and chosen in ("Q3_K", "Q4_K") else chosen

    def _attention_v_of_mix(self) -> str:
        ftype, index = self._ftype, self._seen[Category.ATTENTION_V]
        if self._model.n_gqa >= 4 and ftype in _SHARED_V:
            return _SHARED_V[ftype]
        if ftype == "IQ3_XXS" and not self._has_imatrix:
            return "IQ3_S"
        if ftype == "Q3_K_M":
            return "Q5_K" if index < 2 else "Q4_K"
        if ftype == "Q4_K_S" and index < 4:
            return "Q5_K"
        if ftype in ("Q4_K_M", "Q5_K_M") and more_bits(index, self._n_attention_v):
            return "Q6_K"
        return _V.get(ftype, self._default.name)

    def _attention_k(self, _tensor: Tensor) -> str:
        if self._model.n_expert == 8:
            return "Q8_0"
        return _QUERY_AND_KEY.get(self._ftype, self._default.name)

    def _attention_q(self, _tensor: Tensor) -> str:
        return _QUERY_AND_KEY.get(self._ftype, self._default.name)

    def _attention_output(self, _tensor: Tensor) -> str:
        if self._model.architecture == "falcon":
            return "Q4_K" if self._ftype == "Q3_K_L" else self._default.name
        if self._model.n_expert == 8:
            return "Q5_K" if self._ftype in _EIGHT_EXPERTS_OUTPUT_Q5_K else self._default.name
        return _ATTENTION_OUTPUT.get(self._ftype, self._default.name)

    def _ffn_gate_or_up(self, tensor: Tensor) -> str:
        layer, n_layer = self._layer(tensor, category(tensor.name)), self._model.n_layer
        if self._ftype == "IQ3_XS" and n_layer // 8 <= layer < 7 * n_layer // 8:
            return "IQ3_XXS"
        return self._default.name

    def _ffn_down(self, tensor: Tensor) -> str:
        layer, n_layer = self._layer(tensor, Category.FFN_DOWN), self._model.n_layer
        ftype, is_first, is_more = self._ftype, layer < n_layer // 8, more_bits(layer, n_layer)
        if self._model.architecture == "falcon" and ftype in ("Q3_K_M", "Q3_K_L", "Q4_K_M", "Q4_K_S"):
            return self._falcon_ffn_down(layer)
        if is_more and (ftype in ("Q4_K_M", "Q5_K_M") or (ftype == "IQ3_M" and self._model.n_expert == 8)):
            return "Q4_K" if ftype == "IQ3_M" else "Q6_K"
        if ftype == "Q3_K_M" and layer < n_layer // 16:
            return "Q5_K"
        if is_first and (ftype, self._has_imatrix) in _FIRST_FFN_DOWN:
            return _FIRST_FFN_DOWN[ftype, self._has_imatrix]
        if ftype == "IQ3_XXS" and not self._has_imatrix:
            return "Q3_K"
        return _FFN_DOWN.get(ftype, self._default.name)

    def _falcon_ffn_down(self, layer: int) -> str:
        n_layer = self._model.n_layer
        is_more, is_first = more_bits(layer, n_layer), layer < n_layer // 16
        match self._ftype:
            case "Q3_K_M":
                return "Q5_K" if is_first else "Q4_K" if is_more else "Q3_K"
            case "Q4_K_M":
                return "Q6_K" if is_first else "Q5_K" if is_more else "Q4_K"
        return "Q4_K"
