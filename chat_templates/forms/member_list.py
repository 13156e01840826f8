"""A name and members between braces, texts between quotes that are one token: `call:NAME{city:<|"|>Rome<|"|>}`.

Source: the chat template of Gemma 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat_templates.forms.form import Function, MarkedForm
from chat_templates.lark.member_list import member_list
from chat_templates.lark.rules import LarkGrammar
from chat_templates.readers.held import Held
from chat_templates.readers.json_calls import read_calls, read_end_tag
from chat_templates.readers.member_list import MemberList
from chat_templates.readers.state import MAX_NAME, ParserState
from chat_templates.readers.tape import Reading
from chat_templates.schema.parameters import arguments_schema

CALL = "call:"


@dataclass(frozen=True, slots=True)
class MemberListCall(MarkedForm):
    """Calls between two markers. `quote` stands around texts. JSON between the markers is read as well."""

    start: str
    end: str
    quote: str
    separator: str = ""

    @property
    def markers(self) -> tuple[str, ...]:
        """See `CallForm.markers`."""
        return (self.start, self.end, self.quote)

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`."""
        return f"{self.start}{CALL}{name}", self.end

    def arguments(self, grammar: LarkGrammar, function: Function) -> str:
        """See `CallForm.arguments`: members in alphabetical order, braces included."""
        schema = arguments_schema(function.get("parameters"))
        return grammar.once("members " + function["name"], lambda: member_list(schema, grammar, self.quote))

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """The name, the members, and the end marker."""
        space, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        if c is None and state.tape.was_cut:
            return
        if c is not None and c in "{[":
            if (yield from read_calls(state, opening + space, end=self.end)):
                yield from read_end_tag(state, self.end)
            return
        held = Held(opening + space)
        name = yield from self._name(state, held)
        if name is None:
            if not (state.tape.is_at_end and state.tape.was_cut):
                state.answer.content(held.text)
            return
        index = state.answer.start_call(name)
        if (yield from MemberList(state, index, held, self.quote).read()):
            state.answer.end_call(index)
            yield from read_end_tag(state, self.end)
        elif held.is_all and not (state.tape.is_at_end and (state.tape.was_cut or state.keeps_cut_calls)):
            state.answer.retract_call(index, held.text)

    def _name(self, state: ParserState, held: Held) -> Reading[str | None]:
        """The offered name before a brace, which stays on the tape; None if there is none."""
        name = ""
        while True:
            c = yield from state.tape.next()
            if c == "{":
                state.tape.give_back(c)
                bare = name.removeprefix(CALL).strip()
                return bare if state.offered.has(bare) else None
            is_part = c is not None and (c.isalnum() or c in "_-.:/ ") and len(name) < MAX_NAME
            if not is_part or c is None:
                state.tape.give_back(c)
                return None
            name += c
            held.add(c)
