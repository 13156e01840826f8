"""What every form of a call can do: be read off a tape and be written into a grammar.

Knows no family. Law: whatever a form's grammar allows, its reader reads as the same calls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chat_templates.lark.rules import LarkGrammar
from chat_templates.readers.json_calls import read_calls
from chat_templates.readers.python_calls import read_python_list
from chat_templates.readers.state import OfferedNames, ParserState
from chat_templates.readers.tape import Reading

Function = Mapping[str, Any]

CALL_LANGUAGES = frozenset({"", "json", "JSON", "jsonc", "json5", "tool_call", "tool_calls", "tool_code"})


class CallForm(ABC):
    """A form of calls. The forms are frozen dataclasses of the texts that they are made of."""

    __slots__ = ()

    separator: str
    """What stands between two calls of one answer in the training text."""

    # --- as data -----------------------------------------------------------------------------------------------------

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that may be single tokens of a vocabulary, and must then enter a grammar as such."""
        return ()

    @property
    def is_unmarked(self) -> bool:
        """Whether calls of this form begin like any JSON, and not with a text of their own."""
        return False

    @property
    def near_close(self) -> str:
        """Regular expression of what may end an answer after calls that `auto` recognised as near misses."""
        return r"\n? {0,2}\](\n```)?|\n```"

    @property
    def text_start(self) -> str:
        """What stands before plain text in an answer."""
        return ""

    @property
    def behind_thought(self) -> str:
        """What stands between a thought and what follows it in an answer."""
        return "\n\n"

    @property
    def no_opening(self) -> str | None:
        """Regular expression of what begins like an opening but is known to be none by the character after it."""
        return None

    @property
    def may_lack_arguments(self) -> bool:
        """Whether an element of a list that says nothing but an offered name is a call of it."""
        return False

    @property
    def languages(self) -> frozenset[str]:
        """Languages of code fences in which calls without a marker may stand; "" is a fence that names none."""
        return CALL_LANGUAGES

    # --- read --------------------------------------------------------------------------------------------------------

    def begin(self, state: ParserState) -> Reading[None]:  # noqa: ARG002  most answers begin with plain text
        """Read the beginning of an answer, where it is not plain text."""
        yield from ()

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:  # noqa: ARG002  a form may look at the names
        """The texts that take the parser out of plain content and to `read`. Near misses are the parser's own."""
        return ()

    @abstractmethod
    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """Read on after one of the `openings`: tell calls, or give the text up as content."""

    def read_unmarked(self, state: ParserState, opening: str, *, end: str = "") -> Reading[bool]:
        """Read calls that begin without a marker, alone or in a code fence that `end` closes.

        `opening` was read before them and is content if there is no call. True if there was one.
        """
        if state.offered.names is not None:
            in_list = yield from read_python_list(state, opening)
            if in_list is not None:
                return in_list
        return (yield from read_calls(state, opening, end=end, may_lack_arguments=self.may_lack_arguments))

    # --- written into a grammar --------------------------------------------------------------------------------------

    @abstractmethod
    def around(self, name: str) -> tuple[str, str]:
        """The texts before and after the arguments of one call of this name."""

    def beginnings(self, names: Iterable[str]) -> tuple[str, ...]:
        """How an answer that calls one of these tools begins in this form."""
        return tuple(self.around(name)[0] for name in names)

    def call(self, grammar: LarkGrammar, function: Function) -> str:
        """The body of a rule: one call from its first character to its last."""
        start, end = self.around(function["name"])
        return f"{grammar.literal(start)} {self.arguments(grammar, function)} {grammar.literal(end)}".strip()

    def arguments(self, grammar: LarkGrammar, function: Function) -> str:
        """The rule of one call's arguments, made once for a tool."""
        return grammar.arguments(function)

    def before_text(self, grammar: LarkGrammar) -> str:
        """What stands before plain text, as part of a rule's body; "" for nothing."""
        return grammar.literal(self.text_start)

    def answer(self, grammar: LarkGrammar, call: str, *, parallel: bool) -> str:
        """The body of a rule: an answer that is one call or, when `parallel`, one or more. `call` is a rule."""
        return grammar.numbered(f"{call} {self.more(grammar, call)}") if parallel else call

    @property
    def closing(self) -> str:
        """What stands after the last call of an answer and not between calls, such as a list's bracket."""
        return ""

    def answer_schema(
        self,
        functions: Sequence[Function],
        content: Mapping[str, Any],
        *,
        parallel: bool,
    ) -> Mapping[str, Any] | None:
        """One schema of calls and of JSON content, for forms whose calls begin as JSON content does; else None."""
        del functions, content, parallel
        return None

    def more(self, grammar: LarkGrammar, call: str) -> str:
        """Any number of further calls. A line break may also end the answer: only a call's own beginning commits."""
        separator = grammar.literal(self.separator)
        at_end = f" {separator}?" if self.separator.isspace() else ""
        return f"({separator} {call})*{at_end}"

    def leads(self, grammar: LarkGrammar, functions: Sequence[Function], call: str, *, parallel: bool) -> list[str]:
        """Bodies of rules: free text that leads into calls of this form, and the calls to the end of the answer.

        The free text is the terminal TEXT, or belongs to a lazy lexeme that ends where nothing but a call can follow.
        Empty for forms that only the parser's near misses tell from text.
        """
        del grammar, functions, call, parallel
        return []


class MarkedForm(CallForm):
    """A form whose calls begin with a marker that ordinary text does not contain."""

    __slots__ = ()

    start: str

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:
        """The marker, unless no call can be meant."""
        return () if offered.names == frozenset() else (self.start,)

    def leads(self, grammar: LarkGrammar, functions: Sequence[Function], call: str, *, parallel: bool) -> list[str]:
        """Text up to and including the marker, then the rest of the call, then further calls."""
        rests = []
        for function in functions:
            before, after = self.around(function["name"])
            rest = before.removeprefix(self.start)
            parts = (grammar.literal(rest), self.arguments(grammar, function), grammar.literal(after))
            rests.append(" ".join(filter(None, parts)))
        if not rests:
            return []
        rest_of_call = grammar.rule("native_rest", " | ".join(rests))
        more = self.more(grammar, call) if parallel else ""
        return [f"{head} {rest_of_call} {more}".rstrip() for head in grammar.text_up_to(self.start)]
