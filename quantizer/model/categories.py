"""Which tensors llama.cpp may change, and what each does: the categories that its rules tell apart.

Pure: names and shapes in. Source: `tensor_get_category` and `tensor_allows_quantization` of `src/llama-quant.cpp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from quantizer.model.inventory import Tensor

# `tensor_allows_quantization`: small, or too delicate, or no matrix that multiplies.
_KEPT_PARTS = (
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
)
_KEPT_NAMES = frozenset({"position_embd.weight", "token_types.weight"})
_GLM5_KEPT_PARTS = (
    "hc_",
    "indexer.attn_q_b",
    "indexer.attn_k",
    "indexer.proj",
    "indexer_compressor_gate",
    "indexer_compressor_ape",
    "ssm_f_a.weight",
    "ssm_f_b.weight",
    "ssm_g_a.weight",
    "ssm_g_b.weight",
    "ssm_beta.weight",
    "attn_kv_a_mqa.weight",
    "attn_k_b.weight",
    "attn_v_b.weight",
)


class Category(Enum):
    """What a tensor does, as far as the rules tell tensors apart."""

    TOKEN_EMBD = auto()
    ATTENTION_Q = auto()
    ATTENTION_V = auto()
    ATTENTION_K = auto()
    ATTENTION_OUTPUT = auto()
    FFN_UP = auto()
    FFN_GATE = auto()
    FFN_DOWN = auto()
    OUTPUT = auto()
    OTHER = auto()


# In the original's order: the first that is found decides.
_PARTS = (
    ("attn_qkv.weight", Category.ATTENTION_V),
    ("attn_kv_b.weight", Category.ATTENTION_V),
    ("attn_v.weight", Category.ATTENTION_V),
    ("attn_k.weight", Category.ATTENTION_K),
    ("attn_q.weight", Category.ATTENTION_Q),
    ("attn_output.weight", Category.ATTENTION_OUTPUT),
    ("ffn_up", Category.FFN_UP),
    ("ffn_gate", Category.FFN_GATE),
    ("ffn_down", Category.FFN_DOWN),
)
_NAMES: Mapping[str, Category] = {
    "output.weight": Category.OUTPUT,
    "token_embd.weight": Category.TOKEN_EMBD,
    "per_layer_token_embd.weight": Category.TOKEN_EMBD,
}


def category(name: str) -> Category:
    """The category of the tensor of this name (`tensor_get_category`)."""
    if name in _NAMES:
        return _NAMES[name]
    return next((found for part, found in _PARTS if part in name), Category.OTHER)


def is_embedding_or_output(name: str) -> bool:
    """Whether the tensor is one that llama.cpp never demands activations for (`tensor_requires_imatrix`)."""
    return name in _NAMES


def allows_quantization(tensor: Tensor, architecture: str) -> bool:
    """Whether llama.cpp changes this tensor's type at all (`tensor_allows_quantization`)."""
    if len(tensor.shape) < 2 or not tensor.name.endswith("weight") or tensor.name in _KEPT_NAMES:
        return False
    kept = _KEPT_PARTS + (_GLM5_KEPT_PARTS if architecture == "glm5-next" else ())
    return not any(part in tensor.name for part in kept)
