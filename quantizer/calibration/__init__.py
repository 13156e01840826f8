"""The calibration text that ships with the package, and dialogues with tools generated for a model's own family.

Knows texts and `chat_templates`; no token and no model. Written for this project; nothing is fetched.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from quantizer.calibration.dialogues import Dialogue, generate_dialogues
from quantizer.calibration.rendering import render_dialogues

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TEXTS", "Dialogue", "generate_dialogues", "render_dialogues", "shipped_text"]

TEXTS = ("prose", "code", "multilingual")


def shipped_text() -> str:
    """Prose, code and text in many languages, their paragraphs in turn, so that any beginning of it has all three."""
    return "\n\n".join(_in_turn())


def _in_turn() -> Iterator[str]:
    paragraphs = [
        files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8").strip().split("\n\n") for name in TEXTS
    ]
    for i in range(max(map(len, paragraphs))):
        yield from (text[i] for text in paragraphs if i < len(text))
