"""The arguments of a call in Python, one character at a time, told as one line of JSON: `(a=1, b='x')`.

Keyword arguments keep their names, positional ones take those of the parameters in declared order. An expression that
is no literal is told as its source text, in a string: nothing is ever evaluated. Spacing is that of `json.dumps`.
Adjacent strings are joined. Parentheses make an array, unless they hold nothing but one number or constant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from chat_templates.readers.json_scanner import WHITESPACE, Scan
from chat_templates.readers.python_scanner import MAX_ATOM, PythonScanner, atom_as_json, escaped

_CLOSERS = {"{": "}", "[": "]", "(": ")"}
_NOTHING = re.compile(r"(?!)")
_NO_ATOM = frozenset("()[]{}\"'\\,=:*")
_RAW_STRING = re.compile(r"""[rR](?:'([^']*)'|"([^"]*)")""")


class PythonArguments(PythonScanner):
    """Feed the characters from the opening parenthesis to the closing one; see `PythonScanner`.

    `parameters` are the names for positional arguments. An argument for which there is none is INVALID.
    """

    __slots__ = ("_atom_brackets", "_atom_quote", "_n_positional", "_parameters")

    colon = ": "
    comma = ", "

    def __init__(self, parameters: Sequence[str]) -> None:
        super().__init__()
        self._parameters = parameters
        self._n_positional = 0
        self._atom_brackets: list[str] = []  # closing brackets that an expression still owes
        self._atom_quote = ""
        self._state = self._opening

    @property
    def held(self) -> str:
        """What was read of a name, a number or an expression that is not told yet."""
        return self._atom

    def unfinished(self) -> str:
        """See `PythonScanner.unfinished`; of a name or an expression nothing."""
        if self._state in (self._after_string, self._concatenated):
            return '"'
        return super().unfinished() if self._state == self._in_atom else ""

    # --- the call ----------------------------------------------------------------------------------------------------

    def _opening(self, c: str) -> Scan:
        if c != "(":
            return Scan.INVALID
        self._stack.append(")")
        return self._tell("{", self._argument)

    def _argument(self, c: str) -> Scan:
        """The first character of an argument, or the parenthesis after the last one."""
        if c in WHITESPACE:
            return Scan.MORE
        if c == ")":
            return self._close(c)
        if c in self.quotes or c in _CLOSERS:
            return self._value(c) if self._takes_position() else Scan.INVALID
        if not self.may_begin_atom(c):
            return Scan.INVALID
        self._atom = c
        self._state = self._in_argument
        return Scan.MORE

    def _in_argument(self, c: str) -> Scan:
        """A name, or an expression that has none."""
        if c == "=" and not self._atom_brackets and not self._atom_quote:
            self._tell_name(self._atom.strip())
            self._atom = ""
            self._state = self._value
            return Scan.MORE
        return self._in_atom(c)

    def _takes_position(self) -> bool:
        """Tell the name of the next positional argument; whether there is one."""
        if self._n_positional >= len(self._parameters):
            return False
        self._tell_name(self._parameters[self._n_positional])
        self._n_positional += 1
        return True

    def _tell_name(self, name: str) -> None:
        self._out += self._take_pending() + json.dumps(name, ensure_ascii=False) + self.colon

    def _comma_or_end(self, c: str) -> Scan:
        if c == "," and self.depth == 1:
            self._pending = self.comma
            self._state = self._argument
            return Scan.MORE
        return super()._comma_or_end(c)

    # --- expressions -------------------------------------------------------------------------------------------------

    def may_begin_atom(self, c: str) -> bool:
        """See `PythonScanner.may_begin_atom`: or any expression that begins with a name or a sign."""
        return c not in _NO_ATOM

    def _in_atom(self, c: str) -> Scan:
        if self._atom_quote:
            n_backslashes = len(self._atom) - len(self._atom.rstrip("\\"))
            if c == self._atom_quote and n_backslashes % 2 == 0:
                self._atom_quote = ""
        elif c in self.quotes:
            self._atom_quote = c
        elif c in _CLOSERS:
            self._atom_brackets.append(_CLOSERS[c])
        elif self._atom_brackets:
            if c == self._atom_brackets[-1]:
                self._atom_brackets.pop()
        elif c in ",)]}" or (c == ":" and self._in_key):
            return self._end_atom(c)
        self._atom += c
        return Scan.MORE if len(self._atom) < MAX_ATOM else Scan.INVALID

    def _end_atom(self, c: str) -> Scan:
        if self._state == self._in_argument and not self._takes_position():
            return Scan.INVALID
        if c == ")" and self._pending.endswith("[") and self._stack[-1] == ")":
            self._pending = self._pending[:-1]
            self._out += self._take_pending() + self.value_of(self._atom)
            self._atom = ""
            self._stack.pop()
            return self._end_value()
        return super()._end_atom(c)

    def value_of(self, atom: str) -> str:
        """See `PythonScanner.value_of`: every expression has a value, its source text at the least."""
        source = atom.strip()
        if (raw := _RAW_STRING.fullmatch(source)) is not None:
            return f'"{escaped(raw[1] or raw[2] or "")}"'
        return atom_as_json(source) or f'"{escaped(source)}"'

    # --- strings -----------------------------------------------------------------------------------------------------

    def _end_string(self) -> Scan:
        if self._in_key:
            return super()._end_string()
        self._quote = ""
        self._state = self._after_string
        self.plain = _NOTHING
        return Scan.MORE

    def _after_string(self, c: str) -> Scan:
        """What follows tells whether the string goes on."""
        if c in WHITESPACE:
            return Scan.MORE
        if c == "+":
            self._state = self._concatenated
            return Scan.MORE
        if c in self.quotes:
            return self._concatenated(c)
        self._out += '"'
        self._end_value()
        return self._state(c)

    def _concatenated(self, c: str) -> Scan:
        if c in WHITESPACE:
            return Scan.MORE
        if c not in self.quotes:
            return Scan.INVALID
        self._quote = c
        return self._go_on_with_string()

    def character(self, kind: str, digits: str) -> str:
        """See `PythonScanner.character`: only halves of surrogate pairs stay escapes."""
        is_surrogate = "d800" <= digits.lower() <= "dfff"
        return (
            super().character("u" if is_surrogate else "U", digits) if kind == "u" else super().character(kind, digits)
        )

    # --- between them ------------------------------------------------------------------------------------------------

    def _space(self, c: str) -> Scan:  # noqa: ARG002  spacing is ours
        return Scan.MORE

    def _open(self, c: str) -> Scan:
        if c != "(":
            return super()._open(c)
        self._stack.append(")")
        if self._pending.endswith("["):
            self._out += self._take_pending()
        self._pending += "["  # unless the parentheses hold but one number
        self._state = self._value_or_end
        return Scan.MORE

    def _close(self, c: str) -> Scan:
        if self.depth == 1:
            self._stack.pop()
            self._out += "}"
            return Scan.DONE
        if self._pending.endswith("["):
            self._out += self._take_pending()
        return super()._close(c)
