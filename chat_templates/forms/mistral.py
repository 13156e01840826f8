"""Calls after Mistral's `[TOOL_CALLS]`: an array, or `NAME[CALL_ID]ID[ARGS]{…}`, `NAME[ARGS]{…}` and `NAME{…}`.

Which of them a model writes depends on the version of its tokenizer; each family's grammar writes its own, every
reader reads them all. Source: Mistral's chat templates, vLLM's parser tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chat_templates.forms.call_list import CallList
from chat_templates.forms.form import Function, MarkedForm
from chat_templates.lark.rules import LarkGrammar
from chat_templates.readers.json_calls import read_arguments, read_calls
from chat_templates.readers.json_scanner import Scan
from chat_templates.readers.raw_arguments import RawArguments
from chat_templates.readers.state import MAX_NAME, ParserState
from chat_templates.readers.tape import Ends, Reading

CALLS = "[TOOL_CALLS]"
CALL_ID = "[CALL_ID]"
ARGUMENTS = "[ARGS]"
ID_PATTERN = "[a-zA-Z0-9]{9}"


@dataclass(frozen=True, slots=True)
class MistralList(CallList):
    """The array of tokenizers before the eleventh version."""

    start: str = CALLS
    id_pattern: str | None = ID_PATTERN

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """See `read_mistral`."""
        del opening
        yield from read_mistral(state)


@dataclass(frozen=True, slots=True)
class MistralCall(MarkedForm):
    """A name, an id unless the format has none (`has_ids`), and arguments, each after a marker of its own."""

    start: str = CALLS
    separator: str = ""
    has_ids: bool = True

    @property
    def markers(self) -> tuple[str, ...]:
        """See `CallForm.markers`."""
        return (CALLS, *((CALL_ID,) if self.has_ids else ()), ARGUMENTS)

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """See `read_mistral`."""
        del opening
        yield from read_mistral(state)

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`: of a call without an id."""
        return f"{self.start}{name}{ARGUMENTS}", ""

    def call(self, grammar: LarkGrammar, function: Function) -> str:
        """The body of a rule: one call, its id of the model's choice."""
        return f"{grammar.literal(self.start)} {self._after_start(grammar, function)}"

    def leads(self, grammar: LarkGrammar, functions: Sequence[Function], call: str, *, parallel: bool) -> list[str]:
        """See `MarkedForm.leads`."""
        if not functions:
            return []
        rest = grammar.rule("native_rest", " | ".join(self._after_start(grammar, function) for function in functions))
        more = self.more(grammar, call) if parallel else ""
        return [f"{head} {rest} {more}".rstrip() for head in grammar.text_up_to(self.start)]

    def _after_start(self, grammar: LarkGrammar, function: Function) -> str:
        if not self.has_ids:
            return f"{grammar.literal(function['name'] + ARGUMENTS)} {grammar.arguments(function)}"
        name = grammar.literal(function["name"] + CALL_ID)
        call_id = grammar.rule("CALL_ID", f"/{ID_PATTERN}/")
        return f"{name} {call_id} {grammar.literal(ARGUMENTS)} {grammar.arguments(function)}"


def read_mistral(state: ParserState) -> Reading[None]:
    """Whatever follows `[TOOL_CALLS]`; if it is no call, the text after the marker is content."""
    tape = state.tape
    read, c = yield from tape.next_solid()
    tape.give_back(c)
    if c is not None and c in "[{":
        yield from read_calls(state, read)
        return
    name = yield from _name(state)
    space, c = yield from tape.next_solid()
    tape.give_back(c)
    marker = (yield from _marker(state, (CALL_ID, ARGUMENTS))) if c == "[" else ""
    is_cut = tape.is_at_end and tape.was_cut
    is_call = bool(marker) or c == "{" or is_cut
    if name and is_call and state.offered.has(name):
        call_id = (yield from _call_id(state)) if marker == CALL_ID else None
        yield from _arguments(state, state.answer.start_call(name, call_id))
    elif not (is_cut and state.offered.may_begin_with(name)):
        tape.give_back(read + name + space + marker)


def _name(state: ParserState) -> Reading[str]:
    """What may be the name of an offered tool."""
    name = ""
    while (c := (yield from state.tape.next())) is not None:
        is_part = c.isalnum() or c in "_-.:/"
        if not (is_part and len(name) <= MAX_NAME and state.offered.may_begin_with(name + c)):
            state.tape.give_back(c)
            break
        name += c
    return name


def _marker(state: ParserState, markers: tuple[str, ...]) -> Reading[str]:
    """One of the markers if one comes, else ""."""
    read = ""
    while read not in markers:
        c = yield from state.tape.next()
        if c is None or not any(marker.startswith(read + c) for marker in markers):
            if not (c is None and state.tape.was_cut):
                state.tape.give_back(read + (c or ""))
            return ""
        read += c
    return read


def _call_id(state: ParserState) -> Reading[str | None]:
    """The model's own id of a call, None if it was cut, and the marker of its arguments if one comes."""
    call_id = ""
    while (c := (yield from state.tape.next())) is not None:
        if not (c.isalnum() or c in "_-") or len(call_id) > MAX_NAME:
            state.tape.give_back(c)
            yield from _marker(state, (ARGUMENTS,))
            return call_id or None
        call_id += c
    return None


def _arguments(state: ParserState, index: int) -> Reading[None]:
    _, c = yield from state.tape.next_solid()
    state.tape.give_back(c)
    blank = "{}"
    if c == "{":
        if (yield from read_arguments(state, index)) is not Scan.INVALID:
            return
        blank = ""
    raw = RawArguments(state, index, blank)
    marker = yield from raw.until(Ends((CALLS, *state.stop)))
    raw.end(is_complete=marker is not None or not state.tape.was_cut)
    if marker == CALLS:
        state.tape.give_back(marker)
