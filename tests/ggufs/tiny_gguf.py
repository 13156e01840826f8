"""A random two-layer llama-architecture GGUF, written by code: the boundary's tests need no download.

The vocabulary is SentencePiece-like with all 256 byte tokens and a few markers, so any text tokenizes.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 3, alignment 32).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

N_EMBD, N_HEAD, N_LAYER, N_FF, N_CTX = 64, 4, 2, 128, 512
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
MARKERS = (
    ("<tool_call>", USER_DEFINED),
    ("</tool_call>", USER_DEFINED),
    ("<|im_start|>", CONTROL),
    ("<|im_end|>", CONTROL),
    ("plain", USER_DEFINED),
)
LONG_PIECE = "x" * 300
CHAT_TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}" + "{# padding #}" * 100
ALIGNMENT = 32


def write_tiny_gguf(
    path: Path,
    *,
    seed: int = 0,
    chat_template: str | None = CHAT_TEMPLATE,
    n_embd: int = N_EMBD,
    n_ff: int = N_FF,
    n_kv_head: int = N_HEAD,
    is_tied: bool = False,
) -> Path:
    """Write the model to `path` (about 0.5 MB) and return it. The same arguments give the same bytes.

    With `n_embd` and `n_ff` of 256 and 512 (about 5 MB) the rows are whole blocks of any type.
    """
    tokens, types = _vocabulary()
    tensors = _tensors(len(tokens), np.random.default_rng(seed), n_embd, n_ff, n_kv_head)
    if is_tied:
        del tensors["output.weight"]
    described = _metadata(tokens, types, n_embd, n_ff, n_kv_head)
    if chat_template is not None:
        described["tokenizer.chat_template"] = chat_template
    metadata = [_entry(key, value) for key, value in described.items()]
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata)) + b"".join(metadata)
    offset, data = 0, bytearray()
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        header += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        data += tensor.tobytes()
        data += bytes(-len(data) % ALIGNMENT)
        offset = len(data)
    path.write_bytes(header + bytes(-len(header) % ALIGNMENT) + data)
    return path


def _vocabulary() -> tuple[list[str], list[int]]:
    tokens = ["<unk>", "<s>", "</s>"]
    types = [UNKNOWN, CONTROL, CONTROL]
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    types += [BYTE] * 256
    for text, kind in MARKERS:
        tokens.append(text)
        types.append(kind)
    tokens += ["ab", LONG_PIECE, "▁"]
    types += [NORMAL, NORMAL, NORMAL]
    padding = -len(tokens) % 8  # as real vocabularies are: kernels take eight rows at a time
    tokens += [f"<unused{i}>" for i in range(padding)]
    types += [NORMAL] * padding
    return tokens, types


def _metadata(tokens: list[str], types: list[int], n_embd: int, n_ff: int, n_kv_head: int) -> dict[str, object]:
    return {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.vocab_size": len(tokens),
        "llama.context_length": N_CTX,
        "llama.embedding_length": n_embd,
        "llama.block_count": N_LAYER,
        "llama.feed_forward_length": n_ff,
        "llama.attention.head_count": N_HEAD,
        "llama.attention.head_count_kv": n_kv_head,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": n_embd // N_HEAD,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": True,
    }


def _tensors(n_vocab: int, rng: np.random.Generator, n_embd: int, n_ff: int, n_kv_head: int) -> dict[str, np.ndarray]:
    def weight(*shape: int) -> np.ndarray:
        return rng.normal(0.0, 0.3, shape).astype(np.float32)

    ones = np.ones(n_embd, dtype=np.float32)
    tensors = {"token_embd.weight": weight(n_vocab, n_embd)}
    for i in range(N_LAYER):
        tensors[f"blk.{i}.attn_norm.weight"] = ones
        n_embd_kv = n_embd // N_HEAD * n_kv_head
        for part, width in (("q", n_embd), ("k", n_embd_kv), ("v", n_embd_kv), ("output", n_embd)):
            tensors[f"blk.{i}.attn_{part}.weight"] = weight(width, n_embd)
        tensors[f"blk.{i}.ffn_norm.weight"] = ones
        tensors[f"blk.{i}.ffn_gate.weight"] = weight(n_ff, n_embd)
        tensors[f"blk.{i}.ffn_up.weight"] = weight(n_ff, n_embd)
        tensors[f"blk.{i}.ffn_down.weight"] = weight(n_embd, n_ff)
    tensors["output_norm.weight"] = ones
    tensors["output.weight"] = weight(n_vocab, n_embd)
    return tensors


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _entry(key: str, value: object) -> bytes:
    return _text(key) + _value(value)


def _value(value: object) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    assert isinstance(value, list)
    items = [_value(item) for item in value]
    # llama.cpp wants token types as int32 and single counts as uint32
    kind = struct.pack("<I", 5) if isinstance(value[0], int) else items[0][:4]
    return struct.pack("<I", 9) + kind + struct.pack("<Q", len(items)) + b"".join(item[4:] for item in items)
