"""Where in an answer's text its calls stand: their names, their arguments, and what is between them.

Reads a text once more, a character at a time, with the parser that read it: where an event comes tells where its text
ends. Knows brackets, quotes, commas and tags of parameters; no token and no schema. The law: places are of whole calls
in the order of the text, and never overlap.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chat_templates.events import ContentDelta, Event, ReasoningDelta, ToolCallArguments, ToolCallEnd, ToolCallStart

if TYPE_CHECKING:
    from chat_templates.parser import OutputParser

Span = tuple[int, int]
"""Characters from the first to before the second."""

_OPENERS, _CLOSERS, _QUOTES = frozenset("([{"), frozenset(")]}"), frozenset("\"'")
_TAG = re.compile(
    r"""<parameter=(?P<key>[^>\n]+)>\n?(?P<value>.*?)\n?</parameter>"""
    r"""|<param\s+name\s*=\s*["']?(?P<name>[^"'>]*)["']?\s*>(<!\[CDATA\[(?P<raw>.*?)\]\]>|(?P<plain>.*?))</param>""",
    re.DOTALL,
)
_OBJECT_CLOSE = re.compile(r'(\s*,\s*"id"\s*:\s*"[^"]*")?\s*\}')


@dataclass(frozen=True, slots=True)
class ArgumentPlace:
    """One argument. `key` begins where the value before it ends, and ends where `value` begins: with separators.

    `name` is None for arguments that are one text, code for example. `parsed` is the value as JSON has it, the text
    itself where that is not known.
    """

    name: str | None
    parsed: Any
    key: Span
    value: Span


@dataclass(frozen=True, slots=True)
class CallPlace:
    """One call. `opening` begins where the text or the call before it ends, and ends where `name` begins.

    `name_at` is empty where a marker stands for the name. `closing` is from the last argument to the bracket that ends
    the arguments, and `end` where the syntax of the call ends; both None for a call that a limit cut.
    `follows_text`: content was told right before it.
    """

    name: str
    follows_text: bool
    opening: Span
    name_at: Span
    arguments: tuple[ArgumentPlace, ...] = ()
    closing: Span | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """`said_at`: how much was read when the first content or call was told; None if there was none."""

    calls: tuple[CallPlace, ...] = ()
    said_at: int | None = None


class _Reading:
    """What is known of an answer while it is read."""

    def __init__(self, text: str, closer: Callable[[str], str]) -> None:
        self.text = text
        self.closer = closer
        self.calls: list[CallPlace] = []
        self.said_at: int | None = None
        self._before = 0  # where the text or the call before this ends
        self._has_text = False
        self._start: tuple[str, int] | None = None
        self._told: list[str] = []

    def tell(self, event: Event, at: int) -> None:
        """An event came when `at` characters were read."""
        match event:
            case ContentDelta(said) | ReasoningDelta(said):
                self._has_text |= isinstance(event, ContentDelta)
                self._before = max(self._before, self.text.rfind(said, 0, at) + len(said))
            case ToolCallStart(name=name):
                self._start, self._told = (name, at), []
            case ToolCallArguments(text=told):
                self._told.append(told)
            case ToolCallEnd():
                self.end(at)
        if self.said_at is None and isinstance(event, ContentDelta | ToolCallStart):
            self.said_at = at

    def end(self, at: int | None) -> None:
        """The call's arguments end at `at`; None if a limit cut them. Nothing if no call is open."""
        if self._start is None:
            return
        name, started = self._start
        name_at = _name_at(self.text[:started], name, self._before)
        opening = (self._before, name_at[0])
        stop = len(self.text) if at is None else at
        arguments, closing = _arguments(self.text, (name_at[1], max(started - 1, name_at[1])), stop, self._value(at))
        end = None if at is None else self._end(name, at)
        place = CallPlace(name, self._has_text, opening, name_at, arguments, None if at is None else closing, end)
        self.calls.append(place)
        self._before = stop if end is None else end
        self._start, self._has_text = None, False

    def _value(self, at: int | None) -> Any:
        """All arguments as they were told: a JSON object, None for one that is cut, text for what is none."""
        told = "".join(self._told)
        if at is None and (told.startswith("{") or not told):
            return None
        try:
            return json.loads(told)
        except ValueError:
            return told

    def _end(self, name: str, at: int) -> int:
        """Where the syntax ends after arguments that end at `at`: as the form writes it, or as near misses do."""
        closer = self.closer(name)
        if closer and self.text.startswith(closer, at):
            return at + len(closer)
        found = _OBJECT_CLOSE.match(self.text, at)
        return at if found is None else found.end()


def find_places(text: str, parser: OutputParser, closer: Callable[[str], str], *, is_whole: bool = True) -> Places:
    """The places of a text's calls, by a fresh `parser`. `closer` is what a form writes after a call's arguments.

    Without `is_whole` more text is to come: the last call may be one of which only the name is known.
    """
    reading = _Reading(text, closer)
    for at, character in enumerate(text, start=1):
        for event in parser.feed(character):
            reading.tell(event, at)
    if is_whole:
        for event in parser.finish(cut=True):
            reading.tell(event, len(text))
    reading.end(None)
    return Places(tuple(reading.calls), reading.said_at)


def _name_at(text: str, name: str, start: int) -> Span:
    """Where the name stands at the end of what was read when the call began; an empty span if it does not."""
    keyed = list(re.finditer(rf"""["']name["']\s*:\s*["']({re.escape(name)})["']""", text[start:]))
    # A recipient's name stands behind `functions.`, in the families that have recipients.
    bare = rf"(?:(?<![\w.])|(?<=\bfunctions\.))({re.escape(name)})(?![\w.])"
    found = keyed or list(re.finditer(bare, text[start:]))
    if not found:
        return len(text), len(text)
    return start + found[-1].start(1), start + found[-1].end(1)


def _arguments(text: str, starts: Span, stop: int, value: Any) -> tuple[tuple[ArgumentPlace, ...], Span]:
    """The arguments, and what follows the last; `value` is all of them.

    `starts` are where the name ends and where the call was known: tags stand behind the first, brackets behind both.
    """
    tags, start = _tags(text, starts[0], stop), starts[1]
    opening = starts[0] if tags else next((i for i in range(start, stop) if text[i] in "{("), None)
    pieces = tags or (None if opening is None else _pieces(text, opening, stop))
    if opening is None or pieces is None or (value is not None and not _fits(value, pieces)):
        begin = min(next((i for i in range(start, stop) if not text[i].isspace()), stop), stop)
        whole = ArgumentPlace(None, text[begin:stop], (begin, begin), (begin, stop))
        return ((whole,) if begin < stop else ()), (stop, stop)
    places, before = [], opening if tags else opening + 1
    names = list(value) if value is not None else [None] * len(pieces)
    for (key, at), name in zip(pieces, names, strict=True):
        parsed = _parsed(text[slice(*at)]) if name is None else value[name]
        places.append(ArgumentPlace(key if name is None else name, parsed, (before, at[0]), at))
        before = at[1]
    return tuple(places), (before, stop)


def _tags(text: str, start: int, stop: int) -> list[tuple[str, Span]]:
    """Each argument that stands in a tag of its own: its key, and the span of its value."""
    values = ("value", "raw", "plain")
    return [
        ((tag["key"] or tag["name"]).strip(), next(tag.span(part) for part in values if tag[part] is not None))
        for tag in _TAG.finditer(text, start, stop)
    ]


def _fits(value: Any, pieces: list[tuple[str, Span]]) -> bool:
    return isinstance(value, dict) and len(value) == len(pieces)


def _pieces(text: str, opening: int, stop: int) -> list[tuple[str, Span]]:
    """Each argument between brackets that is whole: its key as it is written, and the span of its value."""
    pieces: list[tuple[str, Span]] = []
    depth, quote, is_escaped, begin, colon = 0, "", False, opening + 1, -1
    for i in range(opening, stop):
        c = text[i]
        if quote:
            quote = "" if c == quote and not is_escaped else quote
            is_escaped = c == "\\" and not is_escaped
        elif c in _QUOTES:
            quote = c
        elif c in _OPENERS:
            depth += 1
        elif depth == 1 and c in ":=" and colon < 0:
            colon = i
        elif (c in _CLOSERS and depth == 1) or (c == "," and depth == 1):
            if text[begin:i].strip():
                pieces.append(_piece(text, begin, colon, i))
            begin, colon = i + 1, -1
        if not quote and c in _CLOSERS:
            depth -= 1
            if depth == 0:
                break
    return pieces


def _piece(text: str, begin: int, colon: int, stop: int) -> tuple[str, Span]:
    key = text[begin:colon].strip().strip("\"'") if colon >= 0 else ""
    value = text[max(begin, colon + 1) : stop]
    start = stop - len(value.lstrip())
    return key, (start, start + len(value.strip()))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
