"""Calls in Python's own syntax: `[get_weather(city='Rome', days=3), get_time()]`.

Sources: the prompt of watt-tool's model card and BFCL's handler for it, vLLM's pythonic parser tests. Where those fail
(dotted and hyphenated names, negative numbers, tuples, text around the list), this does not; arguments are read by
`PythonArguments`, which evaluates nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat_templates.forms.form import CALL_LANGUAGES, CallForm, Function
from chat_templates.lark.placement import to_place
from chat_templates.lark.python import python_arguments
from chat_templates.lark.rules import LarkGrammar, lark_regex
from chat_templates.readers.json_calls import read_calls
from chat_templates.readers.python_calls import PythonCalls, read_python_list
from chat_templates.readers.state import OfferedNames, ParserState
from chat_templates.readers.tape import Reading
from chat_templates.schema.parameters import arguments_schema

_PYTHON_TAG = "<|python_tag|>"


@dataclass(frozen=True, slots=True)
class PythonCall(CallForm):
    """Calls in a list. Without its brackets, a call counts at the start of the answer or of a code fence only."""

    separator: str = ", "
    objects_as_json: bool = False

    @property
    def is_unmarked(self) -> bool:
        """See `CallForm.is_unmarked`."""
        return True

    @property
    def languages(self) -> frozenset[str]:
        """See `CallForm.languages`: Python is the language of these calls."""
        return CALL_LANGUAGES | {"python", "py"}

    # --- read --------------------------------------------------------------------------------------------------------

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:
        """Llama 3's tag, which models of that family put in front of anything like code."""
        return () if offered.names == frozenset() else (_PYTHON_TAG,)

    def begin(self, state: ParserState) -> Reading[None]:
        """See `CallForm.begin`: a call without brackets."""
        space, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        if c is None or c in "[{`<":
            state.answer.content(space)
            return
        yield from PythonCalls(state, space).read_without_brackets()

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """Calls after the tag."""
        space, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        yield from self.read_unmarked(state, opening + space)

    def read_unmarked(self, state: ParserState, opening: str, *, end: str = "") -> Reading[bool]:
        """See `CallForm.read_unmarked`: a list, a call without brackets after an opening, or JSON."""
        in_list = yield from read_python_list(state, opening)
        if in_list is not None:
            return in_list
        c = yield from state.tape.next()
        state.tape.give_back(c)
        if opening and c not in ("{", "["):
            return (yield from PythonCalls(state, opening).read_without_brackets())
        return (yield from read_calls(state, opening, end=end))

    # --- written into a grammar --------------------------------------------------------------------------------------

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`: of a call without arguments."""
        return f"{name}(", ")"

    def beginnings(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `CallForm.beginnings`."""
        return tuple(f"[{name}(" for name in names)

    def call(self, grammar: LarkGrammar, function: Function) -> str:
        """See `CallForm.call`: keyword arguments in declared order."""
        head, _ = self.around(function["name"])
        return f"{grammar.literal(head)} {self.arguments(grammar, function)}"

    @property
    def closing(self) -> str:
        """See `CallForm.closing`."""
        return "]"

    def answer(self, grammar: LarkGrammar, call: str, *, parallel: bool) -> str:
        """See `CallForm.answer`: one list."""
        more = self.more(grammar, call) if parallel else ""
        return grammar.numbered(f'"[" {call} {more} "]"')

    def leads(self, grammar: LarkGrammar, functions: Sequence[Function], call: str, *, parallel: bool) -> list[str]:
        """See `CallForm.leads`: text up to a bracket, an offered name and a parenthesis."""
        more = self.more(grammar, call) if parallel else ""
        bodies = []
        for function in functions:
            beginning = lark_regex("[" + self.around(function["name"])[0])
            head = grammar.numbered(f"/{to_place(self.languages)}{beginning}/", options="[lazy]")
            bodies.append(f'{head} {self.arguments(grammar, function)} {more} "]"')
        return bodies

    def arguments(self, grammar: LarkGrammar, function: Function) -> str:
        """See `CallForm.arguments`: from the first one to the closing parenthesis."""
        schema = arguments_schema(function.get("parameters"))

        def make() -> str:
            return python_arguments(schema, grammar, objects_as_json=self.objects_as_json)

        return grammar.once("python " + function["name"], make)


def python_call(name: str, arguments: Any) -> str:
    """A call as Python source. Arguments that are no object stand by position."""
    if not isinstance(arguments, Mapping):
        return f"{name}({arguments!r})"
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
