"""What the readers of one answer share: the tape, the answer, the names that were offered and the limits.

Knows no format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chat_templates.readers.answer import Answer
from chat_templates.readers.json_scanner import JsonScanner
from chat_templates.readers.python_scanner import Scanner
from chat_templates.readers.tape import Reading, Tape, follows
from chat_templates.schema.types import types_of

CALL_KEYS = ("arguments", "parameters")
FENCE = "```"
MAX_NAME = 256  # OpenAI allows 64; servers with prefixed names send more now and then
MAX_HELD = 65_536  # characters of an object whose name comes after its arguments, or that may yet be retracted


@dataclass(frozen=True, slots=True)
class OfferedNames:
    """The tools that a call may name; None when they are not known, and then any name will do.

    `code_name` is the pseudo-tool whose calls are raw code, where it is offered. `parameters` lists a tool's parameters
    in declared order, for calls that give arguments by position; `schemas` are those of its arguments, for calls that
    give arguments as texts.
    """

    names: frozenset[str] | None
    code_name: str | None = None
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether a call of this name is a call."""
        return self.names is None or name in self.names

    def may_begin_with(self, prefix: str) -> bool:
        """Whether some offered name begins so."""
        return self.names is None or any(name.startswith(prefix) for name in self.names)

    def types(self, name: str, parameter: str) -> frozenset[str] | None:
        """Of which types an argument may be; None where nothing is known. See `types_of`."""
        schema = self.schemas.get(name, {})
        properties = schema.get("properties")
        return types_of(properties.get(parameter), schema) if isinstance(properties, Mapping) else None


@dataclass(slots=True)
class ParserState:
    """What the readers of one answer share: where they read, where they tell, and what may be a call.

    For `passes_unknown_names`, `keeps_cut_calls` and `scanner` see `OutputFormat`.
    """

    offered: OfferedNames
    stop: tuple[str, ...]
    passes_unknown_names: bool
    keeps_cut_calls: bool
    scanner: Callable[[], Scanner] = JsonScanner
    tape: Tape = field(default_factory=Tape)
    answer: Answer = field(default_factory=Answer)


def ends_here(state: ParserState) -> Reading[bool]:
    """Whether nothing but white space is left of the answer; all of it is left on the tape."""
    space, c = yield from state.tape.next_solid()
    state.tape.give_back(c)
    for stop in state.stop:
        if c is not None and (yield from follows(state.tape, stop)):
            c = None
    state.tape.give_back(space)
    return c is None


def json_as_content(tape: Tape, answer: Answer, scanner: Scanner) -> Reading[None]:
    """The rest of a JSON value that is no call, up to its end or to where it stops being JSON."""
    is_over = not scanner.depth
    while not is_over:
        c = yield from tape.next()
        if c is None:
            return
        tape.give_back(c)
        text, is_over = tape.scan(scanner)
        answer.content(text)
