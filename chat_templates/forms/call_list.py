"""Calls as the elements of one JSON array: `[{"name": …, "arguments": {…}}, …]`, between markers if there are any.

The array and its objects are read by `json_calls`, as every family's near misses are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chat_templates.forms.form import CallForm, Function
from chat_templates.lark.rules import LarkGrammar
from chat_templates.readers.json_calls import object_head, read_calls, read_end_tag
from chat_templates.readers.state import OfferedNames, ParserState
from chat_templates.readers.tape import Reading


@dataclass(frozen=True, slots=True)
class CallList(CallForm):
    """Calls in an array between `start` and `end`. `id_pattern` is the regex of a call's `id`, its last key if any."""

    start: str
    id_pattern: str | None = None
    end: str = ""
    separator: str = ", "

    @property
    def markers(self) -> tuple[str, ...]:
        """See `CallForm.markers`."""
        return tuple(marker for marker in (self.start, self.end) if marker)

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:
        """The marker, unless no call can be meant. A bare array is the parser's own near miss."""
        return (self.start,) if self.start and offered.names != frozenset() else ()

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """The array after the marker; if it is none of calls, the text after the marker is content."""
        del opening
        space, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        if c is not None and c in "[{" and (yield from read_calls(state, space)) and self.end:
            yield from read_end_tag(state, self.end)

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`: of an element without an id."""
        return object_head(name), "}"

    def beginnings(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `CallForm.beginnings`."""
        return tuple(f"{self.start}[{object_head(name)}" for name in names)

    def call(self, grammar: LarkGrammar, function: Function) -> str:
        """The body of a rule: one element of the array."""
        head, end = self.around(function["name"])
        if self.id_pattern is None:
            return f"{grammar.literal(head)} {grammar.arguments(function)} {grammar.literal(end)}"
        call_id = grammar.rule("CALL_ID", f"/{self.id_pattern}/")
        return " ".join(
            (
                grammar.literal(head),
                grammar.arguments(function),
                grammar.literal(', "id": "'),
                call_id,
                grammar.literal(f'"{end}'),
            )
        )

    @property
    def closing(self) -> str:
        """See `CallForm.closing`."""
        return f"]{self.end}"

    def answer(self, grammar: LarkGrammar, call: str, *, parallel: bool) -> str:
        """See `CallForm.answer`: one array."""
        return grammar.numbered(f"{grammar.literal(self.start)} {self._array(grammar, call, parallel=parallel)}")

    def leads(self, grammar: LarkGrammar, functions: Sequence[Function], call: str, *, parallel: bool) -> list[str]:
        """Text up to and including the marker, then the array."""
        if not (self.start and functions):
            return []
        array = self._array(grammar, call, parallel=parallel)
        return [f"{head} {array}" for head in grammar.text_up_to(self.start)]

    def _array(self, grammar: LarkGrammar, call: str, *, parallel: bool) -> str:
        more = self.more(grammar, call) if parallel else ""
        return f'"[" {call} {more} "]" {grammar.literal(self.end)}'.rstrip()
