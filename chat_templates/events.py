"""What a parser says: frozen events, and the fold that makes one message of them.

Knows no format. Law: folding the events of any cut of a text gives the same message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """Text for the reader."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """Text the model wrote for itself before answering."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """A call begins. `index` counts from 0; `id` is the model's own call id where its format has one."""

    index: int
    name: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """A piece of the arguments' text, byte for byte as generated where the format carries JSON."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """The call's arguments are complete."""

    index: int


@dataclass(frozen=True, slots=True)
class ToolCallRetracted:
    """What began as a call turned out not to be one. `text` is everything from its first marker on.

    Never emitted for text that a grammar constrained. Only the latest call can be retracted.
    """

    index: int
    text: str


Event = ContentDelta | ReasoningDelta | ToolCallStart | ToolCallArguments | ToolCallEnd | ToolCallRetracted


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the model wrote it. `arguments` is text: JSON unless the model broke off."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """A whole answer. Text that is only white space is None."""

    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)


def fold(events: Iterable[Event]) -> ParsedMessage:
    """The message that a sequence of events describes."""
    content: list[str] = []
    reasoning: list[str] = []
    starts: dict[int, ToolCallStart] = {}
    arguments: dict[int, list[str]] = {}
    for event in events:
        match event:
            case ContentDelta(text):
                content.append(text)
            case ReasoningDelta(text):
                reasoning.append(text)
            case ToolCallStart(index):
                starts[index] = event
                arguments[index] = []
            case ToolCallArguments(index, text):
                arguments[index].append(text)
            case ToolCallEnd():
                pass
            case ToolCallRetracted(index, text):
                del starts[index], arguments[index]
                content.append(text)
    calls = [ToolCall(s.name, "".join(arguments[i]), s.id) for i, s in sorted(starts.items())]
    return ParsedMessage(_text_or_none(content), _text_or_none(reasoning), calls)


def _text_or_none(pieces: list[str]) -> str | None:
    text = "".join(pieces)
    return text if text.strip() else None


def merge(events: Iterable[Event]) -> list[Event]:
    """The same events with neighbouring deltas of one kind joined: the form to compare."""
    merged: list[Event] = []
    for event in events:
        last = merged[-1] if merged else None
        match last, event:
            case (ContentDelta(a), ContentDelta(b)):
                merged[-1] = ContentDelta(a + b)
            case (ReasoningDelta(a), ReasoningDelta(b)):
                merged[-1] = ReasoningDelta(a + b)
            case (ToolCallArguments(i, a), ToolCallArguments(j, b)) if i == j:
                merged[-1] = ToolCallArguments(i, a + b)
            case _:
                merged.append(event)
    return merged
