r"""Llama 3's calls: a bare object with `parameters`, a built-in tool's call, or code after `<|python_tag|>`.

Sources: the chat template of Meta-Llama-3.1-8B-Instruct (which prints built-in calls as `name.call(key="value", …)`,
values unescaped) and vLLM's llama3_json parser tests. Code becomes a call of `python` with `{"code": …}`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from chat_templates.forms.bare import BareCall
from chat_templates.readers.json_calls import read_calls
from chat_templates.readers.state import MAX_HELD, MAX_NAME, OfferedNames, ParserState
from chat_templates.readers.tape import Ends, Reading, read_until

PYTHON_TAG = "<|python_tag|>"
_CALL = ".call("
_KEY = re.compile(r'\s*([A-Za-z_]\w*)="')
_END_OF_VALUE = re.compile(r'"\s*(?:,(?=\s*[A-Za-z_]\w*=")|(?=\)\s*$))')


@dataclass(frozen=True, slots=True)
class LlamaCall(BareCall):
    """Calls as bare objects, and what follows the tag. Parallel calls were not trained; `; ` is what models write."""

    separator: str = "; "
    arguments_key: str = "parameters"

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:
        """The tag, unless no call can be meant."""
        return () if offered.names == frozenset() else (PYTHON_TAG,)

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """After the tag: objects, a built-in tool's call, or code."""
        space, c = yield from state.tape.next_solid()
        state.tape.give_back(c)
        if c is None and state.tape.was_cut:
            return
        if c == "{":
            yield from read_calls(state, opening + space)
            return
        head = yield from self._head_of_built_in(state)
        name = head.removesuffix(_CALL)
        if name != head and state.offered.has(name):
            yield from self._built_in(state, name, opening + space + head)
            return
        state.tape.give_back(space + head)
        if state.offered.has("python"):
            yield from self._code(state)
        else:
            state.answer.content(opening)

    def _head_of_built_in(self, state: ParserState) -> Reading[str]:
        """What may be `name.call(`: read up to its parenthesis or to the first character that is not of one."""
        head = ""
        while not head.endswith(_CALL):
            c = yield from state.tape.next()
            if c is None:
                break
            if not (c.isalnum() or c in "_.-(") or len(head) > MAX_NAME or "(" in head:
                state.tape.give_back(c)
                break
            head += c
        return head

    def _built_in(self, state: ParserState, name: str, head: str) -> Reading[None]:
        """The keywords of a built-in call, held until its end: values are not escaped, so only the end can tell."""
        text = ""
        ends = (")", *(")" + stop for stop in state.stop))
        while len(text) < MAX_HELD and (c := (yield from state.tape.next())) is not None:
            text += c
            if text.endswith(ends[1:]):
                stop = next(stop for stop in state.stop if text.endswith(stop))
                text = text.removesuffix(stop)
                state.tape.give_back(stop)
                break
        arguments = _keywords(text.rstrip())
        if arguments is None:
            state.answer.content(head + text)
            return
        index = state.answer.start_call(name)
        state.answer.arguments(index, json.dumps(arguments, ensure_ascii=False))
        state.answer.end_call(index)

    def _code(self, state: ParserState) -> Reading[None]:
        """Everything up to the end of the turn, escaped into `{"code": …}` as it comes; no white space around it."""
        index = state.answer.start_call("python")
        state.answer.arguments(index, '{"code": "')
        _, c = yield from state.tape.next_solid()
        state.tape.give_back(c)

        def tell(text: str) -> None:
            state.answer.arguments(index, _escaped(text))

        _, stop = yield from read_until(state.tape, Ends(state.stop), tell)
        if stop is None and state.tape.was_cut:
            return
        state.answer.arguments(index, '"}')
        state.answer.end_call(index)


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _keywords(text: str) -> dict[str, str] | None:
    """The `key="value"` pairs before the closing parenthesis; None if it is something else.

    A value ends at the quote that a comma and another key, or the parenthesis, follow: quotes inside are not escaped.
    """
    arguments: dict[str, str] = {}
    position = 0
    while (key := _KEY.match(text, position)) is not None:
        end = _END_OF_VALUE.search(text, key.end())
        if end is None:
            return None
        arguments[key[1]] = text[key.end() : end.start()]
        position = end.end()
    return arguments if text[position:].strip() == ")" else None
