"""Dialogues as the text that a family's models were trained on.

Knows `chat_templates`; no token. The law: a dialogue that a family's format cannot say is left out, never bent.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from chat_templates import ChatTemplateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chat_templates import Family
    from quantizer.calibration.dialogues import Dialogue

# Templates that print the day print this one: the text may not depend on when it is made.
DAY = date(2025, 3, 4)


def render_dialogues(family: Family, dialogues: Iterable[Dialogue]) -> Iterator[str]:
    """The texts of those dialogues that the family can say, markers included."""
    for dialogue in dialogues:
        try:
            yield family.render(dialogue.messages, dialogue.tools, add_generation_prompt=False, today=DAY)
        except ChatTemplateError:
            continue
