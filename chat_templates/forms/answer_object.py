"""An answer that is one object of texts and calls: `{"thought": "…", "tool_calls": [{"name": …, "arguments": {…}}]}`.

Sources: the client and BFCL handler of Salesforce's first xLAM; the prompt and gateway of Katanemo's
Arch-Function-Chat, whose object stands in a code fence and is not always complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chat_templates.forms.form import CallForm, Function
from chat_templates.lark.rules import LarkGrammar
from chat_templates.readers.json_calls import object_head, read_calls
from chat_templates.readers.json_scanner import Scan
from chat_templates.readers.object_reader import ObjectReader, Unescaping
from chat_templates.readers.state import OfferedNames, ParserState
from chat_templates.readers.tape import Reading
from chat_templates.schema.parameters import calls_or_content_schema

_CALLS_KEY = "tool_calls"
_CLOSERS = {"[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class AnswerObject(CallForm):
    """Calls and texts under the keys of one object, in a code fence if `fence` says so.

    The values of `text_keys` are content; those of `silent_keys` and of all keys after a known one say nothing to the
    reader. An object that begins with another key is no answer of this form.
    """

    text_keys: tuple[str, ...]
    silent_keys: tuple[str, ...] = ()
    fence: tuple[str, str] = ("", "")
    separator: str = ", "

    @property
    def is_unmarked(self) -> bool:
        """See `CallForm.is_unmarked`."""
        return True

    @property
    def near_close(self) -> str:
        """See `CallForm.near_close`: the array's and the object's brackets."""
        return r"\n? {0,2}\](\n?\})?(\n```)?|\n```"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys with which an object of this form begins."""
        return (_CALLS_KEY, *self.text_keys, *self.silent_keys)

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """See `CallForm.read`; this form has no openings of its own."""
        yield from self.read_unmarked(state, opening)

    def read_unmarked(self, state: ParserState, opening: str, *, end: str = "") -> Reading[bool]:
        """See `CallForm.read_unmarked`; also True if there was a text."""
        c = yield from state.tape.next()
        if c != "{":
            state.tape.give_back(c)
            return (yield from CallForm.read_unmarked(self, state, opening, end=end))
        answer = _Answer(state, opening, self, end)
        if (yield from answer.begins()):
            return (yield from answer.read())
        state.tape.give_back(answer.raw.removeprefix(opening))
        return (yield from read_calls(state, opening, end=end))

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`: of an element of the array."""
        return object_head(name), "}"

    def beginnings(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `CallForm.beginnings`."""
        return tuple(f'{self.fence[0]}{{"{_CALLS_KEY}": [{object_head(name)}' for name in names)

    @property
    def closing(self) -> str:
        """See `CallForm.closing`."""
        return "]}" + self.fence[1]

    def answer(self, grammar: LarkGrammar, call: str, *, parallel: bool) -> str:
        """See `CallForm.answer`: one object with the array."""
        more = self.more(grammar, call) if parallel else ""
        head = grammar.literal(f'{self.fence[0]}{{"{_CALLS_KEY}": [')
        return grammar.numbered(f"{head} {call} {more} {grammar.literal(']}' + self.fence[1])}")

    def answer_schema(
        self,
        functions: Sequence[Function],
        content: Mapping[str, Any],
        *,
        parallel: bool,
    ) -> Mapping[str, Any] | None:
        """See `CallForm.answer_schema`: the object, if no fence tells it from content."""
        if self.fence[0]:
            return None
        return calls_or_content_schema(functions, _CALLS_KEY, content, parallel=parallel)


class _Answer(ObjectReader):
    """The reading of one object."""

    __slots__ = ("_end", "_form", "_key")

    def __init__(self, state: ParserState, opening: str, form: AnswerObject, end: str) -> None:
        super().__init__(state, opening)
        self._form = form
        self._end = end
        self._key: str | None = None

    def begins(self) -> Reading[bool]:
        """Read the first key; whether it is one of the form, or was going to be one when a limit cut the text."""
        self.begin()
        self._key = yield from self.key()
        if self._key is None and self.is_cut:
            fragment = "".join(self.raw.removeprefix(self.opening).split())
            return any(f'{{"{key}":'.startswith(fragment) for key in self._form.keys)
        return self._key in self._form.keys

    def read(self) -> Reading[bool]:
        """Read the values and the other keys. False: it was told as content, or as far as it was none of this form."""
        while self._key is not None:
            if not (yield from self._value_of(self._key)):
                break
            self._key = yield from self.key()
        if not self.is_told and not self.is_cut:
            self.answer.content(self.raw)
        return self.is_told

    def _value_of(self, key: str) -> Reading[bool]:
        if key == _CALLS_KEY:
            return (yield from self._calls())
        if key in self._form.text_keys:
            return (yield from self._text())
        return (yield from self.skip_value())

    def _text(self) -> Reading[bool]:
        c = yield from self.first_of_value()
        if not c:
            return False
        self.is_told = True
        if c in "nN":  # null
            return (yield from self.skip_value())
        if c not in self.scanner.quotes:
            self.answer.content(c)
            return (yield from self.rest_of_value(self.answer.content))
        string = Unescaping()
        while not string.is_over:
            self.answer.content(string.push(self.run()))
            c, scan = yield from self.push()
            if scan is not Scan.MORE:
                return False
            self.answer.content(string.push(self.scanner.told(c)))
        return True

    def _calls(self) -> Reading[bool]:
        """The array of calls, read by its own reader; this object's scanner is told that it was a value."""
        c = yield from self.first_of_value()
        if not c or c not in _CLOSERS:
            return bool(c) and (yield from self.skip_value())
        opening = "" if self.is_told else self.raw[:-1]
        space, following = yield from self.tape.next_solid()
        if c + (following or "") == "[]":
            self.is_told = True
        else:
            self.tape.give_back(c + space + (following or ""))
            state = self.state
            if state.passes_unknown_names:
                state = replace(state, offered=OfferedNames(None))
            self.is_told = yield from read_calls(state, opening, end=self._end)
            if not self.is_told:
                return self._is_content()
        self.scanner.push(_CLOSERS[c])
        return True

    def _is_content(self) -> bool:
        """All of the object so far was told as content; nothing of it is held any more."""
        self._read.clear()
        self.opening = ""
        return False
