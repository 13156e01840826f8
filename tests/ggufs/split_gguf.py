"""A GGUF in several files, as llama-gguf-split makes them: metadata in the first, tensors dealt out in order."""

from __future__ import annotations

import struct
from pathlib import Path

from server.model_files.gguf import read_header


def split_gguf(path: Path, n_parts: int) -> list[Path]:
    """Write `stem-00001-of-0000N.gguf` and the others beside `path`; the paths, first part first."""
    header, data = read_header(path), path.read_bytes()
    n_entries = struct.unpack_from("<Q", data, 16)[0]
    share = -(-len(header.tensors) // n_parts)
    parts = []
    for part in range(n_parts):
        tensors = header.tensors[part * share : (part + 1) * share]
        entries = data[24 : header.metadata_end] if part == 0 else b""
        entries += _entry("split.no", 2, struct.pack("<H", part))
        entries += _entry("split.count", 2, struct.pack("<H", n_parts))
        entries += _entry("split.tensors.count", 5, struct.pack("<i", len(header.tensors)))
        head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), (n_entries if part == 0 else 0) + 3) + entries
        body = b""
        for tensor in tensors:
            n_dims = len(tensor.shape)
            head += _text(tensor.name) + struct.pack(f"<I{n_dims}QIQ", n_dims, *tensor.shape, tensor.type_id, len(body))
            start = header.data_offset + tensor.offset
            body += data[start : start + tensor.size_bytes]
            body += bytes(-len(body) % 32)
        name = path.with_name(f"{path.stem}-{part + 1:05}-of-{n_parts:05}.gguf")
        name.write_bytes(head + bytes(-len(head) % 32) + body)
        parts.append(name)
    return parts


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def _entry(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value
