"""Calls in the forms of other families: what a model has read elsewhere, and may write in place of its own form.

`<tool_call>` and `<function_call>` around an object or a tag with the name, `<function=NAME>{…}</function>` and tags of
parameters behind it, `<functioncall {…}>`. A list of Python calls is every form's own (`CallForm.read_unmarked`). Law:
these are near misses: a call only of an offered tool, and only where a call without a marker may stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from chat_templates.forms.wrapped import WrappedCall
from chat_templates.readers.function_tag import FUNCTION, read_tag
from chat_templates.readers.json_calls import read_calls, read_end_tag
from chat_templates.readers.state import ParserState
from chat_templates.readers.tape import Reading

Reader = Callable[[ParserState, str], Reading[None]]


def _in_tag(state: ParserState, opening: str) -> Reading[None]:
    """`<functioncall {…}>`, or the object behind the tag."""
    space, c = yield from state.tape.next_solid()
    if c == ">":
        after, c = yield from state.tape.next_solid()
        space += ">" + after
    state.tape.give_back(c)
    if c != "{":
        state.answer.content(opening + space)
        return
    end = "</functioncall>" if ">" in space else ">"
    if (yield from read_calls(state, opening + space, end=end)):
        yield from read_end_tag(state, end)


SIBLINGS: Mapping[str, Reader] = MappingProxyType(
    {
        "<tool_call>": WrappedCall("<tool_call>", "</tool_call>").read,
        "<function_call>": WrappedCall("<function_call>", "</function_call>").read,
        "<functioncall": _in_tag,
        FUNCTION: read_tag,
    }
)
"""What such a call begins with, and what reads on after it."""
