"""The reading of one JSON object that may turn out to be mere text: keys and values, with all that was read kept.

Knows the tape and JSON's syntax; no key. Law: as long as the object may still be text, all of it is held, and no more
than `MAX_HELD` characters of it.
"""

from __future__ import annotations

from collections.abc import Callable

from chat_templates.readers.json_scanner import WHITESPACE, Scan
from chat_templates.readers.state import MAX_HELD, MAX_NAME, ParserState
from chat_templates.readers.tape import Reading

_UNESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class ObjectReader:
    """Reads one object. `opening` is what was read before it and is content if the object is."""

    __slots__ = ("_n_read", "_read", "answer", "is_told", "opening", "scanner", "state", "tape")

    def __init__(self, state: ParserState, opening: str) -> None:
        self.state = state
        self.tape = state.tape
        self.answer = state.answer
        self.opening = opening
        self.scanner = state.scanner()
        self.is_told = False
        """Whether part of the object was told, so that nothing has to be held any more."""
        self._read: list[str] = []
        self._n_read = 0

    @property
    def raw(self) -> str:
        """All that was read, the opening included, if it is not longer than what may be held."""
        return self.opening + "".join(self._read)

    @property
    def is_all_held(self) -> bool:
        """Whether `raw` is all that was read."""
        return self._n_read < MAX_HELD

    @property
    def is_cut(self) -> bool:
        """Whether a limit ended the text here."""
        return self.tape.is_at_end and self.tape.was_cut

    @property
    def is_kept(self) -> bool:
        """Whether a call that was begun stays a call though the text ends here."""
        return self.is_cut or (self.tape.is_at_end and self.state.keeps_cut_calls)

    def begin(self) -> None:
        """Read the object's brace, which is off the tape already."""
        self.scanner.push("{")
        self._keep("{")

    def push(self) -> Reading[tuple[str, Scan]]:
        """The next character and what it does to the object; "" and INVALID where the reading cannot go on."""
        c = yield from self.tape.next()
        if c is None:
            return "", Scan.INVALID
        if not self.is_told and self._n_read >= MAX_HELD:
            self.tape.give_back(c)
            return "", Scan.INVALID
        scan = self.scanner.push(c)
        if scan is Scan.INVALID:
            self.tape.give_back(c)
            return "", scan
        self._keep(c)
        return c, scan

    def run(self) -> str:
        """Characters at hand that change nothing, as many as may still be held."""
        text = self.tape.run(self.scanner.plain)
        if not self.is_told and self._n_read + len(text) > MAX_HELD:
            rest = self._n_read + len(text) - MAX_HELD
            self.tape.give_back(text[-rest:])
            text = text[:-rest]
        self._keep(text)
        return text

    def _keep(self, text: str) -> None:
        """Remember what was read for the case that it was no call, as long as it can still turn out so."""
        if self._n_read < MAX_HELD:
            self._read.append(text)
        self._n_read += len(text)

    # --- keys and values ---------------------------------------------------------------------------------------------

    def key(self) -> Reading[str | None]:
        """The next key, its colon read; None at the object's end or where none can follow."""
        key = quote = ""
        while True:
            c, scan = yield from self.push()
            if scan is not Scan.MORE:
                return None
            if c == ":" and not quote:
                return key
            if not quote:
                quote = c if c in self.scanner.quotes else ""
            elif c == quote:
                quote = ""
            elif len(key) < MAX_NAME:
                key += c

    def first_of_value(self) -> Reading[str]:
        """The first character of the next value, "" if none can follow."""
        while True:
            c, _ = yield from self.push()
            if not c or c not in WHITESPACE:
                return c

    def skip_value(self) -> Reading[bool]:
        """Read the value of a key that does not matter, up to the comma or bracket after it."""
        return (yield from self.rest_of_value(lambda _: None))

    def rest_of_value(self, tell: Callable[[str], None]) -> Reading[bool]:
        """Read and tell a value up to the comma or bracket after it; whether it is complete."""
        while True:
            tell(self.run())
            c = yield from self.tape.next()
            if c is None:
                return False
            self.tape.give_back(c)
            if not self.scanner.in_string and self.scanner.depth == 1 and c in ",}":
                return True
            c, scan = yield from self.push()
            if scan is not Scan.MORE:
                return False
            tell(c)


class Unescaping:
    r"""A JSON string's text, from the characters after its opening quote: `\u` escapes joined as UTF-16 has them."""

    __slots__ = ("_escape", "_high", "is_over")

    def __init__(self) -> None:
        self._escape = ""
        self._high = ""
        self.is_over = False

    def push(self, text: str) -> str:
        """What these characters say; nothing from the closing quote on."""
        if not self._escape and not self._high and '"' not in text and "\\" not in text:
            return "" if self.is_over else text
        return "".join(map(self._push, text))

    def _push(self, c: str) -> str:
        if self.is_over:
            return ""
        if not self._escape:
            if c == "\\":
                self._escape = c
                return ""
            self.is_over = c == '"'
            return self._lone_surrogate() + ("" if self.is_over else c)
        self._escape += c
        if self._escape == "\\u" or (self._escape.startswith("\\u") and len(self._escape) < len("\\u0000")):
            return ""
        escape, self._escape = self._escape, ""
        if len(escape) == len("\\u0000"):
            return self._from_utf16(int(escape.removeprefix("\\u"), base=16))
        return self._lone_surrogate() + _UNESCAPED.get(escape[1:], "")

    def _from_utf16(self, unit: int) -> str:
        if 0xD800 <= unit < 0xDC00:
            lone, self._high = self._lone_surrogate(), chr(unit)
            return lone
        if 0xDC00 <= unit < 0xE000:
            high, self._high = self._high, ""
            return chr(0x10000 + ((ord(high) - 0xD800) << 10) + (unit - 0xDC00)) if high else "\ufffd"
        return self._lone_surrogate() + chr(unit)

    def _lone_surrogate(self) -> str:
        lone, self._high = self._high, ""
        return "\ufffd" if lone else ""
