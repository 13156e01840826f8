"""The golden files: one JSON object a line. New families bring their rows; the tests find them by family id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Families that write the same format share its outputs.
SHARED = {
    "hermes": ("hermes-2-pro", "qwen2.5", "qwen3", "arch-agent", "smollm3"),
    "mistral": ("mistral-nemo", "mistral-small-3.2"),
    "llama-3-json": ("llama-3.1", "llama-3.2"),
    "granite-4": ("granite-4.0", "granite-4.1"),
    "qwen-tags": ("qwen3-coder", "qwen3.5"),
    "lfm2": ("lfm2", "lfm2.5", "lfm2.5-thinking"),
    "xlam-2": ("xlam-2-qwen", "xlam-2-llama"),
}
GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> list[dict[str, Any]]:
    lines = (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def readings() -> list[tuple[dict[str, Any], str]]:
    """Every golden output with every family that must read it."""
    return [(case, family) for case in golden("outputs") for family in SHARED.get(case["family"], (case["family"],))]


def tools_named(*functions: str | dict[str, Any]) -> list[dict[str, Any]]:
    """Tools of these names, or functions where a case needs their parameters."""
    return [
        {"type": "function", "function": f if isinstance(f, dict) else {"name": f, "parameters": {"type": "object"}}}
        for f in functions
    ]
