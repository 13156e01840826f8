"""A list of Python calls between two markers: `<|tool_call_start|>[get_weather(city='Rome')]<|tool_call_end|>`.

Source: the templates of LFM2 and LFM2.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chat_templates.forms.form import Function
from chat_templates.forms.python_call import PythonCall
from chat_templates.lark.rules import LarkGrammar
from chat_templates.readers.json_calls import read_end_tag
from chat_templates.readers.state import OfferedNames, ParserState
from chat_templates.readers.tape import Reading


@dataclass(frozen=True, slots=True)
class TaggedPythonCall(PythonCall):
    """Calls in a list between markers. Without the markers a list is a near miss."""

    start: str = "<|tool_call_start|>"
    end: str = "<|tool_call_end|>"
    objects_as_json: bool = True

    @property
    def markers(self) -> tuple[str, ...]:
        """See `CallForm.markers`."""
        return (self.start, self.end)

    @property
    def is_unmarked(self) -> bool:
        """See `CallForm.is_unmarked`."""
        return False

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:
        """The marker, unless no call can be meant."""
        return () if offered.names == frozenset() else (self.start,)

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """Calls after the marker, then the end marker."""
        space, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        if c is None and state.tape.was_cut:
            return
        if (yield from self.read_unmarked(state, opening + space, end=self.end)):
            yield from read_end_tag(state, self.end)

    def beginnings(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `CallForm.beginnings`."""
        return tuple(f"{self.start}[{name}(" for name in names)

    @property
    def closing(self) -> str:
        """See `CallForm.closing`."""
        return "]" + self.end

    def answer(self, grammar: LarkGrammar, call: str, *, parallel: bool) -> str:
        """See `CallForm.answer`: one list between the markers."""
        more = self.more(grammar, call) if parallel else ""
        return grammar.numbered(f'{grammar.literal(self.start)} "[" {call} {more} "]" {grammar.literal(self.end)}')

    def leads(self, grammar: LarkGrammar, functions: Sequence[Function], call: str, *, parallel: bool) -> list[str]:
        """Text up to and including the marker, then the list and the end marker."""
        if not functions:
            return []
        more = self.more(grammar, call) if parallel else ""
        heads = grammar.text_up_to(self.start)
        return [f'{head} "[" {call} {more} "]" {grammar.literal(self.end)}' for head in heads]
