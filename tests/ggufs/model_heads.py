"""Heads of well-known models without their weights: shapes in code, files that are holes.

`inventory_of` makes an inventory in memory; `write_head` a sparse GGUF that llama-quantize can dry-run, since that
looks at names and shapes alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from quantizer.model.hyperparameters import Hyperparameters
from quantizer.model.inventory import Inventory, Tensor
from server.model_files.ggml_types import GGML_TYPES

F32, F16 = GGML_TYPES[0], GGML_TYPES[1]


@dataclass(frozen=True)
class Head:
    """A model: numbers, tensors outside layers, tensors of each layer. Shapes are ggml's, the row first."""

    architecture: str
    n_layer: int
    n_head: int
    n_head_kv: int
    width: int
    ends: dict[str, tuple[int, ...]]
    layer: dict[str, tuple[int, ...]]
    n_expert: int = 0
    extra: dict[str, int | float] = field(default_factory=dict)

    def tensors(self) -> list[tuple[str, tuple[int, ...]]]:
        named = [(f"{name}.weight", shape) for name, shape in self.ends.items()]
        for index in range(self.n_layer):
            named += [(f"blk.{index}.{name}.weight", shape) for name, shape in self.layer.items()]
        return named


def dense(width: int, kv: int, ff: int) -> dict[str, tuple[int, ...]]:
    return {
        "attn_norm": (width,),
        "attn_q": (width, width),
        "attn_k": (width, kv),
        "attn_v": (width, kv),
        "attn_output": (width, width),
        "ffn_norm": (width,),
        "ffn_gate": (width, ff),
        "ffn_up": (width, ff),
        "ffn_down": (ff, width),
    }


def experts(width: int, kv: int, ff: int, n: int) -> dict[str, tuple[int, ...]]:
    kept = {name: shape for name, shape in dense(width, kv, ff).items() if name == "ffn_norm" or "ffn" not in name}
    return kept | {
        "ffn_gate_inp": (width, n),
        "ffn_gate_exps": (width, ff, n),
        "ffn_up_exps": (width, ff, n),
        "ffn_down_exps": (ff, width, n),
    }


def ends(width: int, n_vocab: int, *, is_tied: bool) -> dict[str, tuple[int, ...]]:
    both = {"token_embd": (width, n_vocab), "output_norm": (width,), "output": (width, n_vocab)}
    if is_tied:
        del both["output"]
    return both


FUSED = {
    "attn_norm": (4544,),
    "attn_norm.bias": (4544,),
    "attn_qkv": (4544, 4672),
    "attn_output": (4544, 4544),
    "ffn_up": (4544, 18176),
    "ffn_down": (18176, 4544),
}

HEADS = {
    "smollm2-135m": Head("llama", 30, 9, 3, 576, ends(576, 49152, is_tied=True), dense(576, 192, 1536)),
    "qwen2.5-0.5b": Head("qwen2", 24, 14, 2, 896, ends(896, 151936, is_tied=False), dense(896, 128, 4864)),
    "qwen2.5-1.5b": Head("qwen2", 28, 12, 2, 1536, ends(1536, 151936, is_tied=False), dense(1536, 256, 8960)),
    "llama3-8b": Head("llama", 32, 32, 8, 4096, ends(4096, 128256, is_tied=False), dense(4096, 1024, 14336)),
    "llama3-70b": Head("llama", 80, 64, 8, 8192, ends(8192, 128256, is_tied=False), dense(8192, 1024, 28672)),
    "llama2-7b": Head("llama", 32, 32, 32, 4096, ends(4096, 32000, is_tied=False), dense(4096, 4096, 11008)),
    "mixtral-8x7b": Head(
        "llama",
        32,
        32,
        8,
        4096,
        ends(4096, 32000, is_tied=False),
        experts(4096, 1024, 14336, 8),
        n_expert=8,
        extra={"expert_used_count": 2},
    ),
    "moe-64": Head(
        "llama",
        16,
        16,
        16,
        2048,
        ends(2048, 50304, is_tied=False),
        experts(2048, 2048, 1024, 64),
        n_expert=64,
        extra={"expert_used_count": 8},
    ),
    "falcon-7b": Head("falcon", 32, 71, 1, 4544, ends(4544, 65024, is_tied=False), FUSED),
}


def inventory_of(head: Head, *, path: Path = Path("model.gguf")) -> Inventory:
    """An inventory with these tensors, in llama.cpp's order; it has no header and no file."""
    tensors = [Tensor(name, shape, F32 if len(shape) == 1 else F16, 0, 0) for name, shape in head.tensors()]
    tensors.sort(key=lambda tensor: (-1 if tensor.layer is None else tensor.layer, tensor.name))
    n_layer = head.n_layer
    is_70b = head.architecture == "llama" and n_layer == 80
    numbers = Hyperparameters(head.architecture, n_layer, head.n_head // head.n_head_kv, head.n_expert, is_70b)
    return Inventory((path,), (), tuple(tensors), numbers)


def write_head(head: Head, path: Path) -> Path:
    """A GGUF whose weights are a hole in the file: gigabytes long, of a few blocks on the disk."""
    described: dict[str, int | float] = {
        "context_length": 2048,
        "embedding_length": head.width,
        "block_count": head.n_layer,
        "feed_forward_length": 4 * head.width,
        "attention.head_count": head.n_head,
        "attention.head_count_kv": head.n_head_kv,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.layer_norm_epsilon": 1e-5,
        **({"expert_count": head.n_expert} if head.n_expert else {}),
        **head.extra,
    }
    entries = [_text("general.architecture") + struct.pack("<I", 8) + _text(head.architecture)]
    entries += [_text(f"{head.architecture}.{key}") + _number(value) for key, value in described.items()]
    tensors = head.tensors()
    data = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)) + b"".join(entries)
    offset = 0
    for name, shape in tensors:
        kind = F32 if len(shape) == 1 else F16
        n_values = 1
        for length in shape:
            n_values *= length
        data += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind.id, offset)
        offset += -(-n_values * kind.block_bytes // 32) * 32
    with path.open("wb") as file:
        file.write(data + bytes(-len(data) % 32))
        file.truncate(file.tell() + offset)
    return path


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _number(value: float) -> bytes:
    return struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<II", 4, value)
