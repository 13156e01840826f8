"""Calls as the elements of one bare JSON array: `[{"name": …, "arguments": {…}}, …]`.

Source: Salesforce's xLAM-2 parser in vLLM with its tests, which also takes the array between other models' markers;
the array and its objects are read by `json_calls`, as every family's near misses are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from chat_templates.forms.form import CallForm
from chat_templates.forms.wrapped import WrappedCall
from chat_templates.lark.rules import LarkGrammar
from chat_templates.readers.json_calls import object_head, read_end_tag
from chat_templates.readers.state import OfferedNames, ParserState, ends_here
from chat_templates.readers.tape import Reading

# What other models put around calls, and these ones copy: the marker and the one that ends it.
_TAG = WrappedCall("<tool_call>", "</tool_call>")
_TAG = WrappedCall("<tool_call>", "</tool_call>")
_BORROWED = MappingProxyType({"[TOOL_CALLS]": "", _TAG.start: _TAG.end})


@dataclass(frozen=True, slots=True)
class CallArray(CallForm):
    """Calls in an array. One of nothing is an answer of nothing; an element that only names a tool is a call of it."""

    separator: str = ", "

    @property
    def is_unmarked(self) -> bool:
        """See `CallForm.is_unmarked`."""
        return True

    @property
    def may_lack_arguments(self) -> bool:
        """See `CallForm.may_lack_arguments`."""
        return True

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:
        """Other models' markers, unless no call can be meant."""
        return () if offered.names == frozenset() else tuple(_BORROWED)

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """Calls after another model's marker."""
        space, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        if c != "[" and opening.endswith(_TAG.start):
            yield from _TAG.read(state, opening + space)
            return
        end = next(end for marker, end in _BORROWED.items() if opening.endswith(marker))
        if (yield from self.read_unmarked(state, opening + space, end=end)) and end:
            yield from read_end_tag(state, end)

    def read_unmarked(self, state: ParserState, opening: str, *, end: str = "") -> Reading[bool]:
        """See `CallForm.read_unmarked`."""
        if not opening and state.answer.is_empty and (yield from _is_empty_array(state)):
            return False
        return (yield from CallForm.read_unmarked(self, state, opening, end=end))

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`: of an element."""
        return object_head(name), "}"

    def beginnings(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `CallForm.beginnings`."""
        return tuple(f"[{object_head(name)}" for name in names)

    @property
    def closing(self) -> str:
        """See `CallForm.closing`."""
        return "]"

    def answer(self, grammar: LarkGrammar, call: str, *, parallel: bool) -> str:
        """See `CallForm.answer`: one array."""
        more = self.more(grammar, call) if parallel else ""
        return grammar.numbered(f'"[" {call} {more} "]"')


def _is_empty_array(state: ParserState) -> Reading[bool]:
    """Read `[]` if it is the rest of the answer; otherwise leave all on the tape."""
    seen = yield from state.tape.next()
    if seen != "[":
        state.tape.give_back(seen)
        return False
    space, c = yield from state.tape.next_solid()
    seen += space + (c or "")
    if c == "]" and (yield from ends_here(state)):
        return True
    state.tape.give_back(seen)
    return False
