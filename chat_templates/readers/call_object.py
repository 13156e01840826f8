"""One JSON object that may be a call: `{"name": N, "arguments": {…}}`, keys in any order, other keys ignored.

Knows which names are offered. Until the call has started, the first key that no call has ends the attempt, so that
ordinary JSON answers stream. Arguments stream byte for byte once the name is known.
"""

from __future__ import annotations

import re

from chat_templates.readers.json_scanner import Scan
from chat_templates.readers.object_reader import ObjectReader, Unescaping
from chat_templates.readers.state import CALL_KEYS, FENCE, MAX_NAME, ParserState, json_as_content
from chat_templates.readers.tape import Reading, follows

# An object that a limit cut in its name, and one that may still become such.
_NAMING = re.compile(r"""\{\s*["']name["']\s*:\s*["'][^"']*""")
_BEGINNING = re.compile(r"""\{\s*(["'](n(a(m(e(["']\s*(:\s*(["'][^"']*)?)?)?)?)?)?)?)?""")


class CallObject(ObjectReader):
    """The reading of one object. `end` is the text after which missing brackets of a lenient format are completed.

    `may_lack_arguments`: an object that says nothing but an offered name is a call without arguments.
    """

    __slots__ = ("_held_arguments", "_index", "_name", "end", "may_lack_arguments")

    def __init__(self, state: ParserState, opening: str, *, end: str = "", may_lack_arguments: bool = False) -> None:
        super().__init__(state, opening)
        self.end = end
        self.may_lack_arguments = may_lack_arguments
        self._name: str | None = None
        self._index: int | None = None
        self._held_arguments: list[str] | None = None

    def read(self) -> Reading[bool]:
        """Read the object, its `{` already off the tape. True: it was a call. False: it was told as content."""
        self.begin()
        while (key := (yield from self.key())) is not None:
            if not (yield from self._value_of(key)):
                return (yield from self._give_up())
        is_complete = self.scanner.depth == 0
        if is_complete and self.may_lack_arguments and self._name is not None and self._index is None:
            self._start(self._name, "{}")
            self.answer.end_call(self.answer.n_calls - 1)
        if self._index is not None and (is_complete or not self.tape.is_at_end):
            return True  # a missing brace after complete arguments does not unmake a call that others follow
        return (yield from self._give_up())

    def _value_of(self, key: str) -> Reading[bool]:
        if key == "name" and self._name is None:
            return (yield from self._read_name())
        if key in CALL_KEYS and self._index is None and self._held_arguments is None:
            return (yield from self._arguments())
        if self._index is not None or key in ("type", "id"):
            return (yield from self.skip_value())
        return False

    def _start(self, name: str, arguments: str) -> None:
        self._index = self.answer.start_call(name)
        self.is_told = True
        self.answer.arguments(self._index, arguments)

    # --- values ------------------------------------------------------------------------------------------------------

    def _read_name(self) -> Reading[bool]:
        quote = yield from self.first_of_value()
        if not quote or quote not in self.scanner.quotes:
            return False
        name = ""
        while True:
            c, scan = yield from self.push()
            if scan is not Scan.MORE:
                return False
            if c == quote:
                break
            name += c
            if len(name) > MAX_NAME or not self.state.offered.may_begin_with(name):
                return False
        if not name or not self.state.offered.has(name):
            return False
        self._name = name
        if self._held_arguments is not None:
            self._start(name, "".join(self._held_arguments))
            self.answer.end_call(self.answer.n_calls - 1)
        return True

    def _arguments(self) -> Reading[bool]:
        c = yield from self.first_of_value()
        if not c or (c != "{" and c not in self.scanner.quotes):
            return False
        if self._name is None:
            self._held_arguments = []
        else:
            self._start(self._name, "")
        is_complete = yield from (self._object_arguments() if c == "{" else self._string_arguments())
        if is_complete and self._index is not None:
            self.answer.end_call(self._index)
        return is_complete

    def _emit(self, text: str) -> None:
        if self._index is not None:
            self.answer.arguments(self._index, text)
        else:
            assert self._held_arguments is not None
            self._held_arguments.append(text)

    def _object_arguments(self) -> Reading[bool]:
        self._emit("{")
        depth = self.scanner.depth
        while self.scanner.depth >= depth:
            self._emit(self.run())
            c, scan = yield from self.push()
            if scan is not Scan.MORE:
                return (yield from self._completed(depth))
            self._emit(self.scanner.told(c))
        return True

    def _completed(self, depth: int) -> Reading[bool]:
        """Whether arguments that stop here lack nothing but brackets, now told; what a limit cut is told as it is."""
        if self.is_kept:
            self._emit(self.scanner.unfinished())
            return False
        brackets = self.scanner.closing(depth)
        if brackets is None or not self.end or not (yield from follows(self.tape, self.end)):
            return False
        self._emit(brackets)
        return True

    def _string_arguments(self) -> Reading[bool]:
        """Arguments as a JSON string with JSON inside: un-stringified once, character by character."""
        string = Unescaping()
        while not string.is_over:
            self._emit(string.push(self.run()))
            c, scan = yield from self.push()
            if scan is not Scan.MORE:
                return False
            self._emit(string.push(self.scanner.told(c)))
        return True

    def _is_fragment(self) -> bool:
        """Whether a limit cut the text in what can only be a call: no part of its name is told."""
        if not self.is_cut:
            return False
        if self._name is not None:
            return True
        is_promised = bool(self.opening.strip()) or self.state.offered.names is not None
        fragment = self.raw.removeprefix(self.opening)
        is_marked = self.end not in ("", FENCE)
        return (is_promised and _NAMING.fullmatch(fragment) is not None) or (
            is_marked and _BEGINNING.fullmatch(fragment) is not None
        )

    # --- no call -----------------------------------------------------------------------------------------------------

    def _give_up(self) -> Reading[bool]:
        """What was read is content, and so is the rest of this JSON value, unless a limit cut a call short."""
        if self._index is not None:
            if self.is_kept or not self.is_all_held:
                return True
            self.answer.retract_call(self._index, self.raw)
        elif not self._is_fragment():
            self.answer.content(self.raw)
        yield from json_as_content(self.tape, self.answer, self.scanner)
        return False
