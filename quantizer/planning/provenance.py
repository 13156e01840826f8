"""What a file that we made says of its making: metadata under `quantizer.`, and llama-quantize's own about the imatrix.

Pure. The law: how long an entry is never depends on what is only known later. Hashes have 64 digits, so a plan knows
the size of a file before anything was hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from quantizer.imatrix.source import ImatrixFile
from quantizer.model.layout import MAX_TEXT_BYTES, Value
from server.model_files.ggml_types import GgmlType

UNKNOWN_HASH = "0" * 64
PLAN_KEY = "quantizer.plan.sha256"
SOURCE_KEY = "quantizer.source.sha256"
REQUANTIZED_KEY = "quantizer.requantized"
DEQUANTIZED_KEY = "quantizer.dequantized_from"


def clipped(text: str) -> str:
    """The text, cut to what llama.cpp can take as the value of an entry; never within a character."""
    return text.replace("\0", " ").encode()[:MAX_TEXT_BYTES].decode("utf-8", "ignore")


def plan_hash(types: Mapping[str, GgmlType], entries: Mapping[str, Value], build: str) -> str:
    """SHA-256 of all that decides a file's bytes: its types, its metadata with the hashes in it, llama.cpp's build."""
    content = [{name: kind.name for name, kind in types.items()}, {**entries, PLAN_KEY: UNKNOWN_HASH}, build]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def imatrix_entries(imatrix: ImatrixFile) -> dict[str, Value]:
    """What llama-quantize writes about the activations that it was given, and their hash."""
    about = imatrix.imatrix
    entries: dict[str, Value] = {
        "quantize.imatrix.file": clipped(imatrix.file_name),
        "quantize.imatrix.entries_count": len(about.entries),
        "quantizer.imatrix.sha256": imatrix.sha256,
    }
    if about.datasets:
        entries["quantize.imatrix.dataset"] = clipped(about.datasets[0])
    if about.chunk_count > 0:
        entries["quantize.imatrix.chunks_count"] = about.chunk_count
    return entries
