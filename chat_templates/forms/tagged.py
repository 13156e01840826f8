"""The name in the opening tag, the arguments as its body: `<function=NAME>{…}</function>`.

Source: MeetKai/functionary, `llama31_prompt_template.py` and its tests; where that parser loses data, ours does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat_templates.forms.form import MarkedForm
from chat_templates.readers.json_calls import read_arguments, read_end_tag
from chat_templates.readers.json_scanner import Scan
from chat_templates.readers.raw_arguments import RawArguments
from chat_templates.readers.state import MAX_NAME, ParserState
from chat_templates.readers.tape import Ends, Reading, follows


@dataclass(frozen=True, slots=True)
class TaggedCall(MarkedForm):
    """Calls between a tag that carries the name and an end tag."""

    start: str
    name_end: str
    end: str
    separator: str = ""

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`."""
        return self.start + name + self.name_end, self.end

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """The name up to the end of its tag, then the arguments."""
        name = ""
        while not name.endswith(self.name_end):
            c = yield from state.tape.next()
            if c is None:
                if not (state.tape.was_cut or state.keeps_cut_calls):
                    state.answer.content(opening + name)
                return
            if c in "<{\n" or len(name) > MAX_NAME:
                state.answer.content(opening + name)
                state.tape.give_back(c)
                return
            name += c
        bare_name = name.removesuffix(self.name_end).strip()
        if not bare_name or not (state.offered.has(bare_name) or (yield from self._passes(state))):
            state.answer.content(opening + name)
            return
        yield from self._arguments(state, state.answer.start_call(bare_name))

    def _passes(self, state: ParserState) -> Reading[bool]:
        """Whether a call of a tool that was not offered is one: an object, or nothing, stands behind its tag."""
        if not state.passes_unknown_names:
            return False
        space, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        is_empty = c == "<" and (yield from follows(state.tape, self.end))
        state.tape.give_back(space)
        return c is None or c == "{" or is_empty

    def _arguments(self, state: ParserState, index: int) -> Reading[None]:
        _, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        if c != "{":
            yield from self._raw_arguments(state, index, blank="{}")
            return
        scan = yield from read_arguments(state, index)
        if scan is Scan.INVALID:
            yield from self._raw_arguments(state, index, blank="")
        elif scan is Scan.DONE:
            yield from read_end_tag(state, self.end)

    def _raw_arguments(self, state: ParserState, index: int, blank: str) -> Reading[None]:
        raw = RawArguments(state, index, blank)
        end = yield from raw.until(Ends((self.end,)))
        raw.end(is_complete=end is not None)
