"""Members between braces, texts between a quote of their own: `{city:<|"|>Rome<|"|>,days:3}`, told as JSON.

Knows the tape; no family, but for the quote that it is given. A text holds anything but the quote, and is told as it
comes; where models print JSON's own quotes, a JSON string is read. Words that are no number and no constant are texts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from chat_templates.readers.held import Held
from chat_templates.readers.json_scanner import JsonScanner, Scan
from chat_templates.readers.python_scanner import MAX_ATOM, atom_as_json, escaped
from chat_templates.readers.state import MAX_NAME, ParserState
from chat_templates.readers.tape import Ends, Reading, follows, read_until

MAX_DEPTH = 64


@dataclass(slots=True)
class MemberList:
    """The reading of one call's arguments. `held` is all that was read of the call."""

    state: ParserState
    index: int
    held: Held
    quote: str

    def read(self, depth: int = 0) -> Reading[bool]:
        """An object from its brace on; False where it breaks off."""
        return (yield from self._items("{", "}", depth))

    def _items(self, opener: str, closer: str, depth: int) -> Reading[bool]:
        """Values between brackets, in an object each behind its key."""
        yield from self._take(opener)
        self._tell(opener)
        separator = ""
        while True:
            c = yield from self._next_solid()
            if c == closer:
                yield from self._take(c)
                self._tell(c)
                return True
            if c == "," and separator:
                yield from self._take(c)
                continue
            self._tell(separator)
            separator = ", "
            if opener == "{" and not (yield from self._key()):
                return False
            if not (yield from self._value(depth + 1)):
                return False

    def _value(self, depth: int) -> Reading[bool]:
        c = yield from self._next_solid()
        if c is None or depth > MAX_DEPTH:
            return False
        if (yield from follows(self.state.tape, self.quote)):
            return (yield from self._text())
        if c == '"':
            return (yield from self._json_string())
        if c == "{":
            return (yield from self.read(depth))
        if c == "[":
            return (yield from self._items("[", "]", depth))
        return (yield from self._word())

    def _text(self) -> Reading[bool]:
        yield from self._take(self.quote)
        self._tell('"')
        space, end = yield from read_until(self.state.tape, Ends((self.quote,)), self._tell_text)
        if end is None:
            return False
        self._tell_text(space)
        self.held.add(end)
        self._tell('"')
        return True

    def _json_string(self) -> Reading[bool]:
        scanner, scan = JsonScanner(), Scan.MORE
        while scan is Scan.MORE:
            c = yield from self.state.tape.next()
            scan = Scan.INVALID if c is None else scanner.push(c)
            if scan is Scan.INVALID:
                self.state.tape.give_back(c)
                return False
            self.held.add(c or "")
            self._tell(c or "")
        return True

    def _word(self) -> Reading[bool]:
        word = ""
        while True:
            c = yield from self.state.tape.next()
            if c is None or c in ",]}":
                break
            word += c
            self.held.add(c)
            if len(word) > MAX_ATOM:
                return False
        self.state.tape.give_back(c)
        solid = word.strip()
        if c is None or not solid:
            return False
        self._tell(atom_as_json(solid) or f'"{escaped(solid)}"')
        return True

    def _key(self) -> Reading[bool]:
        """Read and tell a key and its colon; False if there is none."""
        key = ""
        is_quoted = yield from follows(self.state.tape, self.quote)
        end = self.quote + ":" if is_quoted else ":"
        while not key.endswith(end) or len(key) <= len(end):
            c = yield from self.state.tape.next()
            if c is None or len(key) > MAX_NAME:
                self.state.tape.give_back(c)
                return False
            key += c
            self.held.add(c)
        key = key.removesuffix(":")
        bare = key.removeprefix(self.quote).removesuffix(self.quote) if is_quoted else key.strip().strip('"')
        self._tell(json.dumps(bare, ensure_ascii=False) + ": ")
        return True

    def _next_solid(self) -> Reading[str | None]:
        space, c = yield from self.state.tape.next_solid()
        self.state.tape.give_back(c)
        self.held.add(space)
        return c

    def _take(self, text: str) -> Reading[None]:
        for _ in text:
            yield from self.state.tape.next()
        self.held.add(text)

    def _tell(self, text: str) -> None:
        self.state.answer.arguments(self.index, text)

    def _tell_text(self, text: str) -> None:
        self.held.add(text)
        self._tell(escaped(text))
