"""Characters in: the end of the parser's coroutines that reads.

Knows no format. Law: readers see characters only, so no reader can tell how the text was cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from chat_templates.readers.json_scanner import WHITESPACE, Scan
from chat_templates.readers.python_scanner import Scanner

T = TypeVar("T")
Reading = Generator[None, None, T]
"""A coroutine that yields when it needs more text than has arrived, and returns a T."""

_SPACE = re.compile(f"[{WHITESPACE}]+")


class Tape:
    """The characters still to be read, some of them given back by a reader that looked too far.

    Most text is of no interest to its reader: `run` takes such text in one piece, as far as it has arrived. That never
    shows in the result, because `run` takes only what the reader would have taken one by one.
    """

    __slots__ = ("_at", "_at_end", "_before", "_text", "was_cut")

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._before = 0
        self._at_end = False
        self.was_cut = False
        """Whether the text ended at a limit; meaningful at its end."""

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left to read."""
        return self._at_end and self._at == len(self._text)

    @property
    def position(self) -> int:
        """How many characters of the whole text have been read."""
        return self._before + self._at

    def feed(self, text: str) -> None:
        """More text has arrived."""
        self._before += self._at
        self._text = self._text[self._at :] + text
        self._at = 0

    def end(self, *, was_cut: bool) -> None:
        """No more text will arrive."""
        self._at_end = True
        self.was_cut = was_cut

    def next(self) -> Reading[str | None]:
        """The next character, None at the end of the text (and ever after)."""
        while self._at == len(self._text):
            if self._at_end:
                return None
            yield
        c = self._text[self._at]
        self._at += 1
        return c

    def scan(self, scanner: Scanner) -> tuple[str, bool]:
        """The characters at hand that belong to the scanner's value, and whether there it ends or cannot go on."""
        text, at, push, scan = self._text, self._at, scanner.push, Scan.MORE
        while at < len(text):
            scan = push(text[at])
            if scan is Scan.INVALID:
                break
            at += 1
            if scan is not Scan.MORE:
                break
            if (plain := scanner.plain.match(text, at)) is not None:
                at = plain.end()
        self._at, start = at, self._at
        return text[start:at], scan is not Scan.MORE

    def run(self, plain: re.Pattern[str]) -> str:
        """The characters at hand that `plain` matches, none if the next one does not or has not arrived."""
        match = plain.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def next_solid(self) -> Reading[tuple[str, str | None]]:
        """The white space that comes next, and the first character after it."""
        space = ""
        while True:
            space += self.run(_SPACE)
            c = yield from self.next()
            if c is None or c not in WHITESPACE:
                return space, c
            space += c

    def give_back(self, text: str | None) -> None:
        """Put characters back, the last ones that were read, to be read again."""
        n = len(text or "")
        if n <= self._at:
            self._at -= n
        else:
            self._text = (text or "") + self._text[self._at :]
            self._before -= n - self._at
            self._at = 0


def follows(tape: Tape, text: str) -> Reading[bool]:
    """Whether this text comes next; it is left on the tape."""
    seen = ""
    while seen != text and text.startswith(seen):
        c = yield from tape.next()
        if c is None:
            break
        seen += c
    tape.give_back(seen)
    return seen == text


class Ends:
    """Texts that end a stretch of text, ready to be looked for.

    `exempt` is a regular expression of what begins like an end but is known to be none by what follows it.
    """

    __slots__ = ("_prefixes", "plain", "texts")

    def __init__(self, texts: Iterable[str], *, exempt: str | None = None) -> None:
        self.texts = frozenset(texts)
        self._prefixes = frozenset(text[:n] for text in self.texts for n in range(1, len(text)))
        self.plain = re.compile(f"(?:{'|'.join(filter(None, (*_no_beginnings(self.texts), exempt)))})+")
        """Characters with which no end begins, as far as the character after them tells."""

    def may_begin_with(self, text: str) -> bool:
        """Whether more text could make this one of the ends, or a longer one."""
        return text in self._prefixes

    def at_start_of(self, text: str) -> str | None:
        """The longest end with which this text begins."""
        return next((text[:n] for n in range(len(text), 0, -1) if text[:n] in self.texts), None)


def _no_beginnings(texts: frozenset[str]) -> Iterator[str]:
    """Regular expressions of single characters with which none of these texts begins."""
    seconds: dict[str, set[str]] = {}
    for text in sorted(texts):
        seconds.setdefault(text[0], set()).add(text[1:2])
    yield f"[^{''.join(map(re.escape, seconds))}]" if seconds else r"(?s:.)"
    for first, following in seconds.items():
        if "" not in following:
            yield f"{re.escape(first)}(?=[^{''.join(map(re.escape, sorted(following)))}])"


def read_until(tape: Tape, ends: Ends, tell: Callable[[str], None]) -> Reading[tuple[str, str | None]]:
    """Tell the text before the first of `ends` as it comes, but for the white space right before that end.

    Returns that white space, and the end, None if the text is over.
    """
    space: list[str] = []

    def tell_solid(text: str) -> None:
        solid = text.rstrip(WHITESPACE)
        if solid:
            tell("".join(space) + solid)
            space.clear()
        if len(solid) < len(text):
            space.append(text[len(solid) :])

    while True:
        tell_solid(tape.run(ends.plain))
        held = ""
        while (c := (yield from tape.next())) is not None:
            held += c
            if not ends.may_begin_with(held):
                break
        if not held:
            return "".join(space), None
        if (end := ends.at_start_of(held)) is not None:
            tape.give_back(held[len(end) :])
            return "".join(space), end
        tell_solid(held[0])
        tape.give_back(held[1:])
