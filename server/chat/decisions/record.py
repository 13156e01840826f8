"""What one generation wrote and chose, and the decisions that come of it.

Sees both worlds: the engine's tokens and a family's parser. The law: what it is asked changes nothing of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chat_templates.family import has_code_interpreter, parameter_order
from chat_templates.readers.places import find_places
from server.chat.decisions.report import Decisions, Offered, decisions

if TYPE_CHECKING:
    from chat_templates import Family, OutputParser, ToolCallStart
    from server.engine.types import GenerationChunk, TokenChoice

N_OTHERS = 8
"""Runners-up of each token that are looked at."""
_ANY_NAME = "look_up"


@dataclass(frozen=True, slots=True)
class LowConfidence:
    """A warning: the answer would have been a call that was less sure than the request wants."""

    tool: str
    confidence: float
    wanted: float

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object."""
        message = (
            f"The model would have called {self.tool!r} with a confidence of {self.confidence:.3f}; the request's "
            f"min_confidence is {self.wanted:g}. It was held to text. Send a lower min_confidence to let it call."
        )
        return {"type": "low_confidence", "tool": self.tool, "message": message}


class Record:
    """The text and the tokens of one generation. `parsers` makes a fresh parser, `tools` are those that it knows.

    Calls less sure than `min_confidence` are doubted. `is_told`: the client wants the decisions.
    """

    def __init__(
        self,
        family: Family,
        tools: Sequence[Mapping[str, Any]],
        parsers: Callable[[], OutputParser],
        *,
        min_confidence: float | None = None,
        is_told: bool = True,
    ) -> None:
        self._min_confidence = min_confidence
        self.is_told = is_told
        self._form = form = family.output.call
        self._parsers = parsers
        code = {"python": ()} if has_code_interpreter(tools) else {}
        self._offered = Offered(
            {**parameter_order(tools), **code}, form.separator + form.around(_ANY_NAME)[0].partition(_ANY_NAME)[0]
        )
        self._text: list[str] = []
        self._choices: list[TokenChoice] = []

    def add(self, chunk: GenerationChunk) -> None:
        """More of the generation."""
        self._text.append(chunk.text)
        self._choices.extend(chunk.choices)

    def decisions(self, *, is_whole: bool = True, is_cut: bool = False) -> Decisions:
        """The decisions so far. Without `is_whole` more is to come; with `is_cut` a limit ended the generation."""
        text = "".join(self._text)
        places = find_places(text, self._parsers(), lambda name: self._form.around(name)[1], is_whole=is_whole)
        return decisions(text, self._choices, places, self._offered, is_cut=is_cut)

    def doubt(self, start: ToolCallStart) -> LowConfidence | None:
        """A warning if the call that has just begun is less sure than wanted."""
        if self._min_confidence is None:
            return None
        calls = self.decisions(is_whole=False).calls
        if len(calls) <= start.index:
            calls = self.decisions().calls  # a limit cut it after its name: the end of the text tells
        confidence = calls[start.index].confidence
        return (
            LowConfidence(start.name, confidence, self._min_confidence) if confidence < self._min_confidence else None
        )
