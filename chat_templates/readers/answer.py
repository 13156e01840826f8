"""Events out: the end of the parser's coroutines that tells.

Knows no format and reads nothing.
"""

from __future__ import annotations

from collections.abc import Callable

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

MAX_INDENT = 3  # as in Markdown, where a line with four spaces before it is code
TAB = 4
THOUGHT_END = "</think>"  # a thought that its family does not mark is no part of the line that answers


class Answer:
    """The answer being told: collects events, decides which white space is content.

    White space of content is kept until more content follows, so that calls are not surrounded by blank content.
    """

    __slots__ = (
        "_delta",
        "_events",
        "_has_content",
        "_indent",
        "_pieces",
        "_space",
        "_tail",
        "is_behind_call",
        "n_calls",
    )

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._delta: Callable[[str], Event] | None = None
        self._pieces: list[str] = []
        self._space: list[str] = []
        self._has_content = False
        self._indent: int | None = 0  # of the line so far; None behind its first word
        self._tail = ""  # the last characters of content that may become the end of a thought
        self.n_calls = 0
        self.is_behind_call = False  # nothing but white space was told since a call ended

    @property
    def is_empty(self) -> bool:
        """Whether nothing was told so far but white space."""
        return not (self._has_content or self.n_calls)

    @property
    def is_at_line_start(self) -> bool:
        """Whether a line of content begins here, a call has just ended, or nothing was told so far."""
        return self._indent is not None and self._indent <= MAX_INDENT

    def drain(self) -> list[Event]:
        """The events since the last drain, neighbouring deltas joined."""
        self._flush()
        events, self._events = merge(self._events), []
        return events

    def content(self, text: str) -> None:
        """Text for the reader."""
        if self._indent is not None or self._tail or "\n" in text or "<" in text:
            self._pass(text)
        if self.n_calls and not self._has_content:
            text = text.lstrip()
        solid = text.rstrip()
        if not solid:
            if text:
                self._space.append(text)
            return
        if self._space:
            self._tell(ContentDelta, "".join(self._space))
            self._space.clear()
        self._tell(ContentDelta, solid)
        if len(solid) < len(text):
            self._space.append(text[len(solid) :])
        self._has_content = True
        self.is_behind_call = False

    def end(self) -> None:
        """The text is over: its last white space is content unless it stood around calls."""
        if self._has_content and not self.n_calls and self._space:
            self._tell(ContentDelta, "".join(self._space))

    def start_block(self) -> None:
        """Begin a block of content: one line break sets it off from the content before it."""
        self._space[:] = ["\n"] if self._has_content else []
        self._indent, self._tail = 0, ""

    def reasoning(self, text: str) -> None:
        """Text the model wrote for itself."""
        if text:
            self._tell(ReasoningDelta, text)

    def start_call(self, name: str, call_id: str | None = None) -> int:
        """Begin a call; returns its index. `call_id` is the model's own id of the call."""
        index = self.n_calls
        self.n_calls += 1
        if not self._has_content:
            self._space.clear()
        self._add(ToolCallStart(index, name, call_id))
        return index

    def arguments(self, index: int, text: str) -> None:
        """A piece of the latest call's arguments."""
        assert index == self.n_calls - 1
        if text:
            self._tell(self._arguments_delta, text)

    def end_call(self, index: int) -> None:
        """The call's arguments are complete."""
        self._add(ToolCallEnd(index))
        self.is_behind_call = True
        self._indent, self._tail = 0, ""

    def retract_call(self, index: int, raw: str) -> None:
        """Take the latest call back: its text is content."""
        assert index == self.n_calls - 1
        self._flush()
        self.n_calls = index
        self._has_content = True
        self._add(ToolCallRetracted(index, "".join(self._space) + raw))
        self._space.clear()
        self._pass(raw)

    def _pass(self, text: str) -> None:
        """Go on with the line of content by this text."""
        start = text.rfind("\n") + 1
        if self._tail or "<" in text:
            start = max(start, self._after_thought(text))
        if start:
            self._indent, text = 0, text[start:]
        if self._indent is not None and text:
            self._indent = None if text.strip() else self._indent + len(text.expandtabs(TAB))

    def _after_thought(self, text: str) -> int:
        """Where in this text the line begins that follows the end of a thought, 0 if none ends."""
        n_before, text = len(self._tail), self._tail + text
        at = text.rfind(THOUGHT_END)
        last = text.rfind("<")
        self._tail = text[last:] if last >= 0 and THOUGHT_END.startswith(text[last:]) and at != last else ""
        return at + len(THOUGHT_END) - n_before if at >= 0 else 0

    def _arguments_delta(self, text: str) -> Event:
        return ToolCallArguments(self.n_calls - 1, text)

    def _tell(self, delta: Callable[[str], Event], text: str) -> None:
        """Add a piece to the delta being told, or begin another one."""
        if delta != self._delta:
            self._flush()
            self._delta = delta
        self._pieces.append(text)

    def _add(self, event: Event) -> None:
        self._flush()
        self._events.append(event)

    def _flush(self) -> None:
        if self._delta is not None:
            self._events.append(self._delta("".join(self._pieces)))
            self._delta = None
            self._pieces.clear()
