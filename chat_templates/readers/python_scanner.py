r"""JSON and Python literals, one character at a time, told as JSON: `{'a': True}` becomes `{"a": true}`.

Models that saw much Python print single quotes, `None`, tuples and trailing commas where JSON was meant. Valid JSON
passes through byte for byte; of Python, strings are escaped anew, constants are renamed and numbers keep their digits.
Nothing is ever evaluated. Knows no tools and no markers. Linear, with memory per nesting level and one bounded atom.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from chat_templates.readers.json_scanner import WHITESPACE, JsonScanner, Scan

MAX_ATOM = 4096  # characters of a number, an expression or white space, which are told when what follows is known

_NOTHING = re.compile(r"(?!)")
_IN_STRING = re.compile(r"""[^'"\\\x00-\x1f]+""")
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_PYTHON_NUMBER = re.compile(r"([+-]?) *(\d[\d_]*)?(?:(\.)([\d_]*))?([eE][+-]?\d+)?", re.ASCII)
_HEX_NUMBER = re.compile(
    r"([+-]?) *(0[xX](?:_?[0-9a-fA-F]){1,64}|0[oO](?:_?[0-7]){1,64}|0[bB](?:_?[01]){1,64})", re.ASCII
)
_CONSTANTS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
_BEGINNING_OF_JSON = re.compile(r"-?\d[\d.eE+-]*|-|t(r(ue?)?)?|f(a(l(se?)?)?)?|n(u(ll?)?)?", re.ASCII)
_CLOSERS = {"{": "}", "[": "]", "(": ")"}
_AS_JSON = {"}": "}", "]": "]", ")": "]"}
_VERBATIM_ESCAPES = '"\\/bfnrt'
_PYTHON_ESCAPES = {"'": "'", "a": "\\u0007", "v": "\\u000b", "0": "\\u0000", "\n": ""}
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}


class PythonScanner:
    """Feed the characters of one JSON or Python literal, like `JsonScanner`; `told` is what each becomes in JSON.

    What only the character after it makes clear (a number's end, whether a comma is the last) is told with that one.
    """

    __slots__ = ("_atom", "_escape_read", "_in_key", "_out", "_pending", "_quote", "_stack", "_state", "plain")

    quotes = "\"'"
    colon = ":"
    comma = ","

    def __init__(self) -> None:
        self._stack: list[str] = []  # closing brackets still owed
        self._in_key = False
        self._quote = ""  # that ends the string being read
        self._atom = ""
        self._escape_read = ""
        self._pending = ""  # a comma, and white space after it: the comma may turn out to be the last
        self._out = ""
        self._state: Callable[[str], Scan] = self._value
        self.plain = _NOTHING
        """Characters that are told as they are: they need not be pushed."""

    @property
    def depth(self) -> int:
        """How many brackets are open."""
        return len(self._stack)

    @property
    def in_string(self) -> bool:
        """Whether the next character belongs to a string."""
        return bool(self._quote)

    def push(self, c: str) -> Scan:
        """Read one character. After anything but MORE the scanner is spent."""
        self._out = ""
        return self._state(c)

    def told(self, c: str) -> str:  # noqa: ARG002  JSON is told as it is read
        """What the character pushed last is in JSON, with what was held back before it."""
        return self._out

    def unfinished(self) -> str:
        """What was held back and can be told if the text ends here."""
        if self._state == self._in_atom:
            return self._pending + (self._atom if _BEGINNING_OF_JSON.fullmatch(self._atom) else "")
        return self._pending

    def closing(self, depth: int) -> str | None:
        """What completes the value that was opened at this depth, if only closing brackets are missing.

        Meaningful after a character that could not follow.
        """
        if self._state not in (self._comma_or_end, self._key_or_end, self._value_or_end):
            return None
        return self._out + "".join(_AS_JSON[closer] for closer in reversed(self._stack[depth - 1 :]))

    # --- the states: what is expected, what a character then means ---------------------------------------------------

    def _value(self, c: str) -> Scan:
        self._in_key = False
        if c in WHITESPACE:
            return self._space(c)
        if c in _CLOSERS:
            return self._open(c)
        return self._string_or_atom(c)

    def _value_or_end(self, c: str) -> Scan:
        return self._close(c) if c == self._stack[-1] else self._value(c)

    def _key_or_end(self, c: str) -> Scan:
        if c in WHITESPACE:
            return self._space(c)
        if c == self._stack[-1]:
            return self._close(c)
        self._in_key = True
        return self._string_or_atom(c)

    def _colon(self, c: str) -> Scan:
        if c in WHITESPACE:
            return self._space(c)
        if c != ":":
            return Scan.INVALID
        return self._tell(self.colon, self._value)

    def _comma_or_end(self, c: str) -> Scan:
        if c in WHITESPACE:
            return self._space(c)
        if c == self._stack[-1]:
            return self._close(c)
        if c != ",":
            return Scan.INVALID
        self._pending = self.comma
        self._state = self._key_or_end if self._stack[-1] == "}" else self._value_or_end
        return Scan.MORE

    # --- strings -----------------------------------------------------------------------------------------------------

    def _string(self, c: str) -> Scan:
        if c == "\\":
            self._escape_read = ""
            self._state = self._escape
            self.plain = _NOTHING
            return Scan.MORE
        if c == self._quote:
            return self._end_string()
        self._out += '\\"' if c == '"' else escaped(c) if c < " " else c
        return Scan.MORE

    def _escape(self, c: str) -> Scan:
        if c in _HEX_ESCAPES:
            self._escape_read = c
            self._state = self._hex
            return Scan.MORE
        if c in _VERBATIM_ESCAPES:
            self._out = "\\" + c
        elif c in _PYTHON_ESCAPES:
            self._out = _PYTHON_ESCAPES[c]
        else:  # Python keeps the backslash of an escape that it does not know
            self._out = "\\\\" + escaped(c)
        return self._go_on_with_string()

    def _hex(self, c: str) -> Scan:
        kind, digits = self._escape_read[0], self._escape_read[1:]
        if c not in "0123456789abcdefABCDEF":
            self._out = "\\\\" + self._escape_read
            self._go_on_with_string()
            return self._string(c)
        self._escape_read += c
        if len(digits) + 1 == _HEX_ESCAPES[kind]:
            self._out = self.character(kind, digits + c)
            return self._go_on_with_string()
        return Scan.MORE

    def character(self, kind: str, digits: str) -> str:
        r"""What `\x41`, `\u0041` or `\U00000041` is in JSON: `\u` stays as it was written."""
        if kind == "u":
            return f"\\u{digits}"
        code = int(digits, 16)
        return escaped(chr(code)) if code <= 0x10FFFF else f"\\\\{kind}{digits}"

    def _go_on_with_string(self) -> Scan:
        self._state = self._string
        self.plain = _IN_STRING
        return Scan.MORE

    def _end_string(self) -> Scan:
        self._quote = ""
        self._out += '"'
        return self._end_value()

    # --- numbers and constants ---------------------------------------------------------------------------------------

    def _string_or_atom(self, c: str) -> Scan:
        if c in self.quotes:
            self._quote = c
            self._out += self._take_pending() + '"'
            return self._go_on_with_string()
        if not self.may_begin_atom(c):
            return Scan.INVALID
        self._atom = c
        self._state = self._in_atom
        return Scan.MORE

    def may_begin_atom(self, c: str) -> bool:
        """Whether a number or a constant may begin so."""
        return c in "+-.0123456789TFNtfn"

    def _in_atom(self, c: str) -> Scan:
        if c.isascii() and (c.isalnum() or c in "+-._"):
            self._atom += c
            return Scan.MORE if len(self._atom) < MAX_ATOM else Scan.INVALID
        return self._end_atom(c)

    def value_of(self, atom: str) -> str | None:
        """What a number or a constant is in JSON; None if it is neither."""
        return atom_as_json(atom)

    def _end_atom(self, c: str) -> Scan:
        """Tell the atom before this character, and go on with the character."""
        atom = self.value_of(self._atom)
        if atom is None:
            return Scan.INVALID
        self._atom = ""
        if self._in_key and not atom.startswith('"'):
            atom = f'"{atom}"'
        self._out += self._take_pending() + atom
        self._end_value()
        return self._state(c)

    # --- between them ------------------------------------------------------------------------------------------------

    def _space(self, c: str) -> Scan:
        if self._pending:
            self._pending += c
            return Scan.MORE if len(self._pending) < MAX_ATOM else Scan.INVALID
        self._out += c
        return Scan.MORE

    def _take_pending(self) -> str:
        pending, self._pending = self._pending, ""
        return pending

    def _tell(self, text: str, state: Callable[[str], Scan]) -> Scan:
        self._out += self._take_pending() + text if self._pending else text
        self._state = state
        return Scan.MORE

    def _open(self, c: str) -> Scan:
        self._stack.append(_CLOSERS[c])
        return self._tell("{" if c == "{" else "[", self._key_or_end if c == "{" else self._value_or_end)

    def _close(self, c: str) -> Scan:
        if self._pending:  # the comma was the last: Python's, not JSON's
            self._pending = self._pending[len(self.comma) :]
        self._out += self._take_pending() + _AS_JSON[c]
        self._stack.pop()
        return self._end_value()

    def _end_value(self) -> Scan:
        self.plain = _NOTHING
        if self._in_key:
            self._in_key = False
            self._state = self._colon
            return Scan.MORE
        self._state = self._comma_or_end
        return Scan.MORE if self._stack else Scan.DONE


Scanner = JsonScanner | PythonScanner


def escaped(text: str) -> str:
    """A text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii="\ud800" <= text <= "\udfff")[1:-1]


def atom_as_json(atom: str) -> str | None:
    """A number with its own digits, or a constant, as JSON; None if it is neither."""
    if atom in _CONSTANTS:
        return _CONSTANTS[atom]
    if _JSON_NUMBER.fullmatch(atom):
        return atom
    if (number := _HEX_NUMBER.fullmatch(atom)) is not None:
        return ("-" if number[1] == "-" else "") + str(int(number[2], 0))
    number = _PYTHON_NUMBER.fullmatch(atom)
    if number is None or not (number[2] or number[4]):
        return None
    sign = "-" if number[1] == "-" else ""
    whole = (number[2] or "0").replace("_", "")
    if len(whole) > 1 and whole.startswith("0"):
        if not number[3]:
            return None
        whole = whole.lstrip("0") or "0"
    fraction = "." + (number[4].replace("_", "") or "0") if number[3] else ""
    return sign + whole + fraction + (number[5] or "")
