"""Characters in, events out: the two ends of a parser's coroutines.

Knows no format. Law: readers see characters only, so no reader can tell how the text was cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeVar

from chat_templates.events import (
    ContentDelta,
    Event,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallRetracted,
    ToolCallStart,
    merge,
)
from chat_templates.json_scanner import WHITESPACE, JsonScanner, Scan

CALL_KEYS = ("arguments", "parameters")
MAX_NAME = 256  # OpenAI allows 64; servers with prefixed names send more now and then
MAX_HELD = 65_536  # characters of an object whose name comes after its arguments, or that may yet be retracted

T = TypeVar("T")
Reading = Generator[None, str | None, T]
"""A coroutine that is sent characters, None at the end of the text, and returns a T."""


class Tape:
    """The characters still to be read, some of them given back by a reader that looked too far."""

    __slots__ = ("_at_end", "_unread", "was_cut")

    def __init__(self) -> None:
        self._unread: deque[str] = deque()
        self._at_end = False
        self.was_cut = False
        """Whether the text ended at a limit; meaningful at its end."""

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left to read."""
        return self._at_end and not self._unread

    def next(self) -> Reading[str | None]:
        """The next character, None at the end of the text (and ever after)."""
        if self._unread:
            return self._unread.popleft()
        if self._at_end:
            return None
        c = yield
        if c is None:
            self._at_end = True
        return c

    def next_solid(self) -> Reading[tuple[str, str | None]]:
        """The white space that comes next, and the first character after it."""
        space = ""
        while True:
            c = yield from self.next()
            if c is None or c not in WHITESPACE:
                return space, c
            space += c

    def give_back(self, text: str | None) -> None:
        """Put characters back to be read again."""
        self._unread.extendleft(reversed(text or ""))


class Answer:
    """The answer being told: collects events, decides which white space is content.

    White space of content is kept until more content follows, so that calls are not surrounded by blank content.
    """

    __slots__ = ("_events", "_has_content", "_space", "n_calls")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._space = ""
        self._has_content = False
        self.n_calls = 0

    def drain(self) -> list[Event]:
        """The events since the last drain, neighbouring deltas joined."""
        events, self._events = merge(self._events), []
        return events

    def content(self, text: str) -> None:
        """Text for the reader."""
        solid = text.rstrip()
        if not solid:
            self._space += text
            return
        self._events.append(ContentDelta(self._space + solid))
        self._space = text[len(solid) :]
        self._has_content = True

    def end(self) -> None:
        """The text is over: its last white space is content unless it stood around calls."""
        if self._has_content and not self.n_calls and self._space:
            self._events.append(ContentDelta(self._space))

    def start_block(self) -> None:
        """Begin a block of content: one line break sets it off from the content before it."""
        self._space = "\n" if self._has_content else ""

    def reasoning(self, text: str) -> None:
        """Text the model wrote for itself."""
        if text:
            self._events.append(ReasoningDelta(text))

    def start_call(self, name: str, call_id: str | None = None) -> int:
        """Begin a call; returns its index. `call_id` is the model's own id of the call."""
        index = self.n_calls
        self.n_calls += 1
        if not self._has_content:
            self._space = ""
        self._events.append(ToolCallStart(index, name, call_id))
        return index

    def arguments(self, index: int, text: str) -> None:
        """A piece of a call's arguments."""
        if text:
            self._events.append(ToolCallArguments(index, text))

    def end_call(self, index: int) -> None:
        """The call's arguments are complete."""
        self._events.append(ToolCallEnd(index))

    def retract_call(self, index: int, raw: str) -> None:
        """Take the latest call back: its text is content."""
        assert index == self.n_calls - 1
        self.n_calls = index
        self._has_content = True
        self._events.append(ToolCallRetracted(index, self._space + raw))
        self._space = ""


@dataclass(frozen=True, slots=True)
class OfferedNames:
    """The tools that a call may name; None when they are not known, and then any name will do.

    `code_name` is the pseudo-tool whose calls are raw code, where it is offered.
    """

    names: frozenset[str] | None
    code_name: str | None = None

    def has(self, name: str) -> bool:
        """Whether a call of this name is a call."""
        return self.names is None or name in self.names

    def may_begin_with(self, prefix: str) -> bool:
        """Whether some offered name begins so."""
        return self.names is None or any(name.startswith(prefix) for name in self.names)


@dataclass(slots=True)
class ParserState:
    """What the readers of one answer share: where they read, where they tell, and what may be a call.

    For `passes_unknown_names` and `keeps_cut_calls` see `OutputFormat`.
    """

    offered: OfferedNames
    stop: tuple[str, ...]
    passes_unknown_names: bool
    keeps_cut_calls: bool
    tape: Tape = field(default_factory=Tape)
    answer: Answer = field(default_factory=Answer)


def json_as_content(tape: Tape, answer: Answer, scanner: JsonScanner) -> Reading[None]:
    """The rest of a JSON value that is no call, up to its end or to where it stops being JSON."""
    while scanner.depth:
        c = yield from tape.next()
        if c is None:
            return
        if scanner.push(c) is Scan.INVALID:
            tape.give_back(c)
            return
        answer.content(c)


def held_tail(text: str, markers: tuple[str, ...], *, also: str = "") -> int:
    """How many last characters may be the beginning of a marker, with the characters of `also` right before it."""
    longest = 0
    for marker in markers:
        for n in range(min(len(marker) - 1, len(text)), longest, -1):
            if text.endswith(marker[:n]):
                longest = n
                break
    kept = len(text) - longest
    while kept and text[kept - 1] in also:
        kept -= 1
    return len(text) - kept
