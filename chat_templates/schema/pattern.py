"""Regular expressions of JSON Schema, written for an engine in linear time.

Knows ECMA-262's syntax, which JSON Schema names, and where Rust's `regex` syntax, which llguidance reads, means
something else with the same characters. Law: what comes out matches what ECMA-262 says, or `PatternError` is raised.
"""

from __future__ import annotations

import re
from math import prod

MAX_CHARS = 4096
# Nested repetitions multiply. No honest pattern counts so far; one that counts to a million has as many states.
MAX_REPETITIONS = 20_000

ANY_CHARACTER = r"(?:.|[\n\r\u2028\u2029])"
"""A pattern of one character, also of those that `.` does not match."""

_ECMA_SPACE = r"\t\n\x0b\x0c\r\x20\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_ECMA_LINE_END = r"\n\r\u2028\u2029"
_GROUP = re.compile(r"\((\?(:|P?<[A-Za-z_][A-Za-z_0-9]*>))?(?!\?)")
_BOUNDS = re.compile(r"\{(\d+)(,(\d*))?\}")
_ESCAPE = re.compile(
    r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|[pP](\{[^}]+\}|[A-Z])|[dDwWsS]|[tnrfv]|0(?!\d)|[^A-Za-z0-9])"
)


# What JSON strings can hold only as escapes by number, which the grammar has not: llguidance would leave it out.
_UNWRITABLE = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")


class PatternError(ValueError):
    """A pattern has a part that cannot be enforced."""


class PatternLimitError(PatternError):
    """A pattern exceeds a limit."""


def portable(pattern: str) -> str:
    r"""The pattern in Rust's `regex` syntax with ECMA-262's meaning.

    `.`, `\s` and classes are spelled out where the two differ. Raises `PatternError` for what has no meaning there:
    lookaround, back references, word boundaries; `PatternLimitError` beyond MAX_CHARS or MAX_REPETITIONS.
    """
    if len(pattern) > MAX_CHARS:
        raise PatternLimitError(f"the pattern has {len(pattern)} characters; the limit is {MAX_CHARS}")
    scanner = _Scanner(pattern)
    scanner.scan()
    return "".join(scanner.out)


class _Scanner:
    """Reads a pattern once from left to right. `_counts` has a list for each open group: how often its parts repeat."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self.out: list[str] = []
        self._counts: list[list[int]] = [[1]]

    def scan(self) -> None:
        while self._at < len(self._text):
            self._step(self._text[self._at])

    def _step(self, character: str) -> None:
        match character:
            case "\\":
                self._escape(r"[" + _ECMA_SPACE + "]", r"[^" + _ECMA_SPACE + "]")
                self._atom(1)
            case "[":
                self._class()
                self._atom(1)
            case ".":
                self._write(1, f"[^{_ECMA_LINE_END}]")
                self._atom(1)
            case "(":
                self._open()
            case ")" if len(self._counts) > 1:
                self._write(1, ")")
                self._atom(max(self._counts.pop()))
            case "{":
                self._bounds()
            case _:
                self._write(1, character)
                if character not in "^$|*+?":
                    self._atom(1)

    def _write(self, n: int, text: str) -> None:
        if _UNWRITABLE.search(text):
            raise PatternError("a control character cannot be written")
        self._at += n
        self.out.append(text)

    def _atom(self, n_repetitions: int) -> None:
        self._counts[-1].append(n_repetitions)

    def _open(self) -> None:
        found = _GROUP.match(self._text, self._at)
        if found is None:
            raise PatternError(f"the group {self._text[self._at : self._at + 4]!r} has no equivalent in linear time")
        self._write(len(found[0]), found[0])
        self._counts.append([1])

    def _bounds(self) -> None:
        found = _BOUNDS.match(self._text, self._at)
        if found is None:
            self._write(1, r"\{")  # a brace that bounds nothing is a character in ECMA-262
            self._atom(1)
            return
        highest = max(int(found[1]), int(found[3] or 0))
        inner = self._counts[-1]
        inner[-1] = prod((max(highest, 1), inner[-1]))
        if inner[-1] > MAX_REPETITIONS:
            raise PatternLimitError(f"its repetitions multiply to {inner[-1]}; the limit is {MAX_REPETITIONS}")
        self._write(len(found[0]), found[0])

    def _escape(self, space: str, no_space: str | None) -> None:
        found = _ESCAPE.match(self._text, self._at)
        if found is None:
            raise PatternError(f"{self._text[self._at : self._at + 2]!r} has no equivalent in linear time")
        text = {r"\s": space, r"\S": no_space, r"\0": r"\x00", r"\/": "/", r"\-": r"\-"}.get(found[0], found[0])
        if text is None:
            raise PatternError(r"\S inside a class cannot be spelled out")
        if text[1:2] == "v" or (text[1:2] in ("x", "u") and _UNWRITABLE.match(chr(int(text[2:].strip("{}"), 16)))):
            raise PatternError("a control character cannot be written")
        if len(text) == 2 and not text[1].isascii():
            text = text[1]
        self._write(len(found[0]), text)

    def _class(self) -> None:
        head = "[^" if self._text.startswith("[^", self._at) else "["
        self._write(len(head), head)
        start = self._at
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "]":
                if self._at == start:
                    raise PatternError("an empty class matches nothing, or everything")
                self._write(1, "]")
                return
            if self._text.startswith("--", self._at):
                raise PatternError("'--' inside a class is read differently by different engines")
            if character == "\\":
                self._escape(_ECMA_SPACE, None)
            else:
                self._write(1, "\\" + character if character in "[&~" else character)
        raise PatternError("a class is not closed")
