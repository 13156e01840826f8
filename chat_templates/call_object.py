"""One JSON object that may be a call: `{"name": N, "arguments": {…}}`, keys in any order, other keys ignored.

Knows which names are offered. Until the call has started, the first key that no call has ends the attempt, so that
ordinary JSON answers stream. Arguments stream byte for byte once the name is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chat_templates.json_scanner import WHITESPACE, JsonScanner, Scan
from chat_templates.tape import (
    CALL_KEYS,
    MAX_HELD,
    MAX_NAME,
    Answer,
    OfferedNames,
    Reading,
    Tape,
    json_as_content,
)

_UNESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(slots=True)
class CallObject:
    """The reading of one object. `opening` is what was read before it and is content if it is no call."""

    tape: Tape
    answer: Answer
    offered: OfferedNames
    opening: str
    name: str | None = None
    index: int | None = None
    held_arguments: list[str] | None = None
    scanner: JsonScanner = field(default_factory=JsonScanner)
    _read: list[str] = field(default_factory=list)
    _n_read: int = 0

    def read(self) -> Reading[bool]:
        """Read the object, its `{` already off the tape. True: it was a call. False: it was told as content."""
        self._keep("{")
        self.scanner.push("{")
        while (key := (yield from self._key())) is not None:
            if not (yield from self._value_of(key)):
                return (yield from self._give_up())
        is_complete = self.scanner.depth == 0
        if self.index is not None and (is_complete or not self.tape.is_at_end):
            return True  # a missing brace after complete arguments does not unmake a call that others follow
        return (yield from self._give_up())

    def _value_of(self, key: str) -> Reading[bool]:
        if key == "name" and self.name is None:
            return (yield from self._name())
        if key in CALL_KEYS and self.index is None and self.held_arguments is None:
            return (yield from self._arguments())
        if self.index is not None or key in ("type", "id"):
            return (yield from self._skip_value())
        return False

    # --- characters --------------------------------------------------------------------------------------------------

    def _push(self) -> Reading[tuple[str, Scan]]:
        """The next character and what it does to the object; "" and INVALID where the reading cannot go on."""
        c = yield from self.tape.next()
        if c is None:
            return "", Scan.INVALID
        if self.index is None and self._n_read >= MAX_HELD:
            self.tape.give_back(c)
            return "", Scan.INVALID
        scan = self.scanner.push(c)
        if scan is Scan.INVALID:
            self.tape.give_back(c)
            return "", scan
        self._keep(c)
        return c, scan

    def _run(self) -> str:
        """Characters at hand that change nothing, as many as may still be held."""
        text = self.tape.run(self.scanner.plain)
        if self.index is None and self._n_read + len(text) > MAX_HELD:
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

    def _key(self) -> Reading[str | None]:
        """The next key, its colon read; None at the object's end or where none can follow."""
        key = ""
        in_key = False
        while True:
            c, scan = yield from self._push()
            if scan is not Scan.MORE:
                return None
            if c == ":" and not in_key:
                return key
            if c == '"':
                in_key = not in_key
            elif in_key and len(key) < MAX_NAME:
                key += c

    def _opening_quote_or_brace(self) -> Reading[str]:
        while True:
            c, _ = yield from self._push()
            if not c or c not in WHITESPACE:
                return c

    # --- values ------------------------------------------------------------------------------------------------------

    def _name(self) -> Reading[bool]:
        if (yield from self._opening_quote_or_brace()) != '"':
            return False
        name = ""
        while True:
            c, scan = yield from self._push()
            if scan is not Scan.MORE:
                return False
            if c == '"':
                break
            name += c
            if len(name) > MAX_NAME or not self.offered.may_begin_with(name):
                return False
        if not name or not self.offered.has(name):
            return False
        self.name = name
        if self.held_arguments is not None:
            self.index = self.answer.start_call(name)
            self.answer.arguments(self.index, "".join(self.held_arguments))
            self.answer.end_call(self.index)
        return True

    def _arguments(self) -> Reading[bool]:
        c = yield from self._opening_quote_or_brace()
        if not c or c not in '{"':
            return False
        if self.name is None:
            self.held_arguments = []
        else:
            self.index = self.answer.start_call(self.name)
        is_complete = yield from (self._object_arguments() if c == "{" else self._string_arguments())
        if is_complete and self.index is not None:
            self.answer.end_call(self.index)
        return is_complete

    def _emit(self, text: str) -> None:
        if self.index is not None:
            self.answer.arguments(self.index, text)
        else:
            assert self.held_arguments is not None
            self.held_arguments.append(text)

    def _object_arguments(self) -> Reading[bool]:
        self._emit("{")
        depth = self.scanner.depth
        while self.scanner.depth >= depth:
            self._emit(self._run())
            c, scan = yield from self._push()
            if scan is not Scan.MORE:
                return False
            self._emit(c)
        return True

    def _string_arguments(self) -> Reading[bool]:
        """Arguments as a JSON string with JSON inside: un-stringified once, character by character."""
        high_surrogate = ""
        while True:
            self._emit(self._run())
            c, scan = yield from self._push()
            if scan is not Scan.MORE:
                return False
            if c == '"':
                return True
            if c == "\\":
                c, scan = yield from self._push()
                if c == "u":
                    digits = ""
                    while len(digits) < 4:
                        c, scan = yield from self._push()
                        if scan is not Scan.MORE:
                            return False
                        digits += c
                    c, high_surrogate = _from_utf16(high_surrogate, int(digits, 16))
                else:
                    c = _UNESCAPED.get(c, "")
            self._emit(c)

    def _skip_value(self) -> Reading[bool]:
        """Read the value of a key that says nothing about the call, up to the comma or bracket after it."""
        in_string = is_escaped = False
        while True:
            c = yield from self.tape.next()
            if c is None:
                return False
            self.tape.give_back(c)
            if not in_string and self.scanner.depth == 1 and c in ",}":
                return True
            c, scan = yield from self._push()
            if scan is not Scan.MORE:
                return False
            if c == '"' and not is_escaped:
                in_string = not in_string
            is_escaped = in_string and c == "\\" and not is_escaped

    def _raw(self) -> str:
        return self.opening + "".join(self._read)

    # --- no call -----------------------------------------------------------------------------------------------------

    def _give_up(self) -> Reading[bool]:
        """What was read is content, and so is the rest of this JSON value, unless a limit cut a call short."""
        is_cut = self.tape.is_at_end and self.tape.was_cut
        if self.index is not None:
            can_retract = not is_cut and self._n_read < MAX_HELD
            if not can_retract:
                return True
            self.answer.retract_call(self.index, self._raw())
        elif not (is_cut and self.name is not None):
            self.answer.content(self._raw())
        yield from json_as_content(self.tape, self.answer, self.scanner)
        return False


def _from_utf16(high: str, unit: int) -> tuple[str, str]:
    r"""The text that a `\uXXXX` unit completes, and the high surrogate that waits for its partner."""
    if 0xD800 <= unit < 0xDC00:
        return "", chr(unit)
    if 0xDC00 <= unit < 0xE000:
        return (chr(0x10000 + ((ord(high) - 0xD800) << 10) + (unit - 0xDC00)) if high else "\ufffd"), ""
    return chr(unit), ""
