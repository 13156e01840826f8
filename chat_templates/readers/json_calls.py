"""JSON objects that are calls: alone, one after another, or in an array. Read by every form that carries JSON.

Knows the tape and the offered names; no marker of any family.
"""

from __future__ import annotations

import json
from functools import partial

from chat_templates.readers.call_object import CallObject
from chat_templates.readers.json_scanner import JsonScanner, Scan
from chat_templates.readers.state import CALL_KEYS, ParserState, json_as_content
from chat_templates.readers.tape import Reading

MAX_SLIPS = 16  # characters, with the white space between them


def object_head(name: str, arguments_key: str = CALL_KEYS[0]) -> str:
    """The beginning of a call's object, up to its arguments, as `json.dumps` prints it."""
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "{arguments_key}": '


def read_calls(state: ParserState, opening: str, *, end: str = "", may_lack_arguments: bool = False) -> Reading[bool]:
    """Calls as JSON objects, alone, separated or in an array, after an `opening` that is theirs or content.

    True if there was a call. What follows the last call is left on the tape. `end`: see `CallObject`.
    `may_lack_arguments`: in an array, an object with nothing but an offered name is a call.
    """
    array = state.scanner()
    space, c = "", (yield from state.tape.next())
    if c == "[":
        array.push("[")
        space, c = yield from state.tape.next_solid()
        opening += "[" + space
    if c != "{":
        state.answer.content(opening)
        state.tape.give_back(c)
        yield from json_as_content(state.tape, state.answer, array)
        return False
    in_array = array.depth > 0
    n_calls = state.answer.n_calls
    while c == "{":
        call = CallObject(state, opening, end=end, may_lack_arguments=may_lack_arguments and in_array)
        if not (yield from call.read()):
            if in_array:
                array.push("0")  # whatever the element was, a value
                yield from json_as_content(state.tape, state.answer, array)
            break
        opening, c = yield from _separator(state, in_array=in_array)
    return state.answer.n_calls > n_calls


def read_arguments(state: ParserState, index: int) -> Reading[Scan]:
    """One JSON object as the arguments of a call, told as it is read: DONE, and the call ended, at its last brace.

    MORE where the text ended first; INVALID before the first character that is not JSON.
    """
    tell = partial(state.answer.arguments, index)
    scanner = JsonScanner()
    while True:
        tell(state.tape.run(scanner.plain))
        c = yield from state.tape.next()
        if c is None:
            return Scan.MORE
        scan = scanner.push(c)
        if scan is Scan.INVALID:
            state.tape.give_back(c)
            return scan
        tell(c)
        if scan is Scan.DONE:
            state.answer.end_call(index)
            return scan


def _separator(state: ParserState, *, in_array: bool) -> Reading[tuple[str, str | None]]:
    """What stands between this call and a next one, and that one's brace; nothing if no next one comes."""
    space, c = yield from state.tape.next_solid()
    if in_array and c == "]":
        return "", None
    if c == "{":
        return space, c
    if c is None or c not in ",;":
        state.tape.give_back(space + (c or ""))
        return "", None
    after, following = yield from state.tape.next_solid()
    if following == "{":
        return space + c + after, following
    state.tape.give_back(space + c + after + (following or ""))
    return "", None


def read_end_tag(state: ParserState, end: str, *, slips: str = "") -> Reading[None]:
    """Read an end tag if one comes; a missing one does not unmake a complete call.

    Characters of `slips` before the tag, a few at most, are read with it.
    """
    read, c = yield from state.tape.next_solid()
    while c is not None and c in slips and len(read) < MAX_SLIPS:
        space, following = yield from state.tape.next_solid()
        read, c = read + c + space, following
    seen = ""
    while c is not None and end.startswith(seen + c):
        seen += c
        if seen == end:
            return
        c = yield from state.tape.next()
    if not (c is None and state.tape.was_cut):
        state.tape.give_back(read + seen + (c or ""))
