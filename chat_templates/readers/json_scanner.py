"""Where a JSON value ends, one character at a time: string-aware, linear, constant memory per nesting level.

Follows RFC 8259 except that raw control characters inside strings are let through: models write them.
Knows no tools and no markers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

WHITESPACE = " \t\n\r"
_NUMBER = frozenset("0123456789+-.eE")
_HEX = frozenset("0123456789abcdefABCDEF")
_DIGITS = frozenset("0123456789")
_SPACE = re.compile(f"[{WHITESPACE}]+")
_IN_STRING = re.compile(r'[^"\\]+')
_NOTHING = re.compile(r"(?!)")
_LITERALS = {"t": "rue", "f": "alse", "n": "ull"}


class Scan(Enum):
    """What a character did to the value."""

    MORE = auto()
    """Belongs to the value; more is to come."""
    DONE = auto()
    """Belongs to the value and ends it."""
    PAST = auto()
    """Does not belong: the value (a number) ended before it."""
    INVALID = auto()
    """Cannot follow: this is not JSON."""


class JsonScanner:
    """Feed the characters of one JSON value, the first one included, until `push` says DONE, PAST or INVALID."""

    __slots__ = ("_in_key", "_rest", "_stack", "_state", "plain")

    quotes = '"'
    """The characters that begin a string."""

    def __init__(self) -> None:
        self._stack: list[str] = []  # closing brackets still owed
        self._in_key = False
        self._rest = ""  # of a literal, or the hex digits still owed as a count of characters
        self._state: Callable[[str], Scan] = self._value
        self.plain = _SPACE
        """Characters that belong to the value and change nothing: they need not be pushed."""

    @property
    def depth(self) -> int:
        """How many brackets are open."""
        return len(self._stack)

    @property
    def in_string(self) -> bool:
        """Whether the next character belongs to a string."""
        return self._state in (self._string, self._escape, self._hex)

    def push(self, c: str) -> Scan:
        """Read one character. After anything but MORE the scanner is spent."""
        return self._state(c)

    def told(self, c: str) -> str:
        """What the character pushed last is in JSON: itself."""
        return c

    def unfinished(self) -> str:
        """What `told` held back: nothing."""
        return ""

    def closing(self, depth: int) -> str | None:  # noqa: ARG002  see PythonScanner
        """What completes the value that was opened at this depth: what is not complete is not JSON."""
        return None

    # --- the states: what is expected, what a character then means ---------------------------------------------------

    def _value(self, c: str) -> Scan:
        if c == '"':
            self._in_key = False
            return self._go(self._string, _IN_STRING)
        if c == "{":
            self._stack.append("}")
            return self._go(self._key_or_end)
        if c == "[":
            self._stack.append("]")
            return self._go(self._value_or_end)
        if c in _LITERALS:
            self._rest = _LITERALS[c]
            return self._go(self._literal, _NOTHING)
        if c == "-" or c in _DIGITS:
            return self._go(self._number, _NOTHING)
        return Scan.MORE if c in WHITESPACE else Scan.INVALID

    def _value_or_end(self, c: str) -> Scan:
        return self._close() if c == "]" else self._value(c)

    def _key(self, c: str) -> Scan:
        if c == '"':
            self._in_key = True
            return self._go(self._string, _IN_STRING)
        return Scan.MORE if c in WHITESPACE else Scan.INVALID

    def _key_or_end(self, c: str) -> Scan:
        return self._close() if c == "}" else self._key(c)

    def _colon(self, c: str) -> Scan:
        if c == ":":
            return self._go(self._value)
        return Scan.MORE if c in WHITESPACE else Scan.INVALID

    def _comma_or_end(self, c: str) -> Scan:
        if c == ",":
            return self._go(self._key if self._stack[-1] == "}" else self._value)
        if c == self._stack[-1]:
            return self._close()
        return Scan.MORE if c in WHITESPACE else Scan.INVALID

    def _string(self, c: str) -> Scan:
        if c == "\\":
            return self._go(self._escape, _NOTHING)
        if c != '"':
            return Scan.MORE
        return self._go(self._colon) if self._in_key else self._after_value()

    def _escape(self, c: str) -> Scan:
        if c == "u":
            self._rest = "hhhh"
            return self._go(self._hex, _NOTHING)
        return self._go(self._string, _IN_STRING) if c in '"\\/bfnrt' else Scan.INVALID

    def _hex(self, c: str) -> Scan:
        if c not in _HEX:
            return Scan.INVALID
        self._rest = self._rest[1:]
        return Scan.MORE if self._rest else self._go(self._string, _IN_STRING)

    def _literal(self, c: str) -> Scan:
        if c != self._rest[0]:
            return Scan.INVALID
        self._rest = self._rest[1:]
        return Scan.MORE if self._rest else self._after_value()

    def _number(self, c: str) -> Scan:
        if c in _NUMBER:
            return Scan.MORE
        if not self._stack:
            return Scan.PAST
        self._go(self._comma_or_end)
        return self._comma_or_end(c)

    # --- between them ------------------------------------------------------------------------------------------------

    def _go(self, state: Callable[[str], Scan], plain: re.Pattern[str] = _SPACE) -> Scan:
        self._state = state
        self.plain = plain
        return Scan.MORE

    def _close(self) -> Scan:
        self._stack.pop()
        return self._after_value()

    def _after_value(self) -> Scan:
        return self._go(self._comma_or_end) if self._stack else Scan.DONE
