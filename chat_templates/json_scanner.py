"""Where a JSON value ends, one character at a time: string-aware, linear, constant memory per nesting level.

Follows RFC 8259 except that raw control characters inside strings are let through: models write them.
Knows no tools and no markers.
"""

from __future__ import annotations

from enum import Enum, auto

WHITESPACE = " \t\n\r"
_NUMBER = frozenset("0123456789+-.eE")
_HEX = frozenset("0123456789abcdefABCDEF")
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


class _Expect(Enum):
    VALUE = auto()
    VALUE_OR_END = auto()  # just after [
    KEY_OR_END = auto()  # just after {
    KEY = auto()
    COLON = auto()
    COMMA_OR_END = auto()
    STRING = auto()
    ESCAPE = auto()
    HEX = auto()
    NUMBER = auto()
    LITERAL = auto()


class JsonScanner:
    """Feed the characters of one JSON value, the first one included, until `push` says DONE, PAST or INVALID."""

    __slots__ = ("_expect", "_in_key", "_rest", "_stack")

    def __init__(self) -> None:
        self._expect = _Expect.VALUE
        self._stack: list[str] = []  # closing brackets still owed
        self._in_key = False
        self._rest = ""  # of a literal, or the hex digits still owed as a count of characters

    @property
    def depth(self) -> int:
        """How many brackets are open."""
        return len(self._stack)

    def push(self, c: str) -> Scan:
        """Read one character. After anything but MORE the scanner is spent."""
        match self._expect:
            case _Expect.STRING:
                return self._string(c)
            case _Expect.ESCAPE:
                return self._escape(c)
            case _Expect.HEX:
                return self._hex(c)
            case _Expect.NUMBER:
                return self._number(c)
            case _Expect.LITERAL:
                return self._literal(c)
            case _:
                return Scan.MORE if c in WHITESPACE else self._structure(c)

    def _structure(self, c: str) -> Scan:  # noqa: PLR0911  a table of states reads best as one
        match self._expect:
            case _Expect.VALUE:
                return self._value(c)
            case _Expect.VALUE_OR_END:
                return self._close(c) if c == "]" else self._value(c)
            case _Expect.KEY_OR_END if c == "}":
                return self._close(c)
            case _Expect.KEY_OR_END | _Expect.KEY if c == '"':
                self._in_key = True
                return self._go(_Expect.STRING)
            case _Expect.COLON if c == ":":
                return self._go(_Expect.VALUE)
            case _Expect.COMMA_OR_END if c == ",":
                return self._go(_Expect.KEY if self._stack[-1] == "}" else _Expect.VALUE)
            case _Expect.COMMA_OR_END if c == self._stack[-1]:
                return self._close(c)
            case _:
                return Scan.INVALID

    def _value(self, c: str) -> Scan:
        if c == "{":
            self._stack.append("}")
            return self._go(_Expect.KEY_OR_END)
        if c == "[":
            self._stack.append("]")
            return self._go(_Expect.VALUE_OR_END)
        if c == '"':
            self._in_key = False
            return self._go(_Expect.STRING)
        if c in _LITERALS:
            self._rest = _LITERALS[c]
            return self._go(_Expect.LITERAL)
        if c == "-" or c.isdecimal():
            return self._go(_Expect.NUMBER)
        return Scan.INVALID

    def _go(self, expect: _Expect) -> Scan:
        self._expect = expect
        return Scan.MORE

    def _close(self, c: str) -> Scan:
        assert self._stack[-1] == c
        self._stack.pop()
        return self._after_value()

    def _after_value(self) -> Scan:
        return self._go(_Expect.COMMA_OR_END) if self._stack else Scan.DONE

    def _string(self, c: str) -> Scan:
        if c == "\\":
            return self._go(_Expect.ESCAPE)
        if c != '"':
            return Scan.MORE
        return self._go(_Expect.COLON) if self._in_key else self._after_value()

    def _escape(self, c: str) -> Scan:
        if c == "u":
            self._rest = "hhhh"
            return self._go(_Expect.HEX)
        return self._go(_Expect.STRING) if c in '"\\/bfnrt' else Scan.INVALID

    def _hex(self, c: str) -> Scan:
        if c not in _HEX:
            return Scan.INVALID
        self._rest = self._rest[1:]
        return Scan.MORE if self._rest else self._go(_Expect.STRING)

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
        self._expect = _Expect.COMMA_OR_END
        return self.push(c)
