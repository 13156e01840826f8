r"""The body of a call behind a tag with its name: `<function=NAME>`, then JSON or tags of parameters.

Knows the tags in both spellings and JSON Schema's types; no marker of a family. Arguments are told as JSON. A value
that is a text by its schema is told as it comes; any other when it is complete, since only then its type is known.
Sources: the chat templates of Qwen3-Coder, Qwen3.5 and MiniCPM5; Qwen's own parser, whose conversion of values this is
where the schema names a type.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from chat_templates.readers.held import Held
from chat_templates.readers.json_calls import read_end_tag
from chat_templates.readers.json_scanner import Scan
from chat_templates.readers.python_scanner import PythonScanner, escaped
from chat_templates.readers.state import MAX_NAME, ParserState
from chat_templates.readers.tape import Ends, Reading, follows, read_until
from chat_templates.schema.types import type_of

FUNCTION = "<function"
END = "</function>"
_NAME_IN_ATTRIBUTE = re.compile(r"""\s*name\s*=\s*["']?([^"']*)["']?\s*""")


@dataclass(frozen=True, slots=True)
class TagSpelling:
    """How tags of parameters are spelled: `opening`, a key, `close`, a value, `end`.

    `newline` stands before and after a value and is none of it. `raw` are the texts around a value in which tags are
    text, where there are such.
    """

    opening: str
    close: str
    end: str
    newline: str = ""
    raw: tuple[str, str] | None = None


EQUALS = TagSpelling("<parameter=", ">", "</parameter>", newline="\n")
"""`<parameter=KEY>`, behind `<function=NAME>`."""
ATTRIBUTES = TagSpelling('<param name="', '">', "</param>", raw=("<![CDATA[", "]]>"))
"""`<param name="KEY">`, behind `<function name="NAME">`."""
_SPELLINGS = {EQUALS: "<parameter=", ATTRIBUTES: "<param "}  # with what each begins, whatever the quotes


def read_function(state: ParserState, opening: str) -> Reading[bool]:
    """A call from `<function=NAME>` on. True: it was one. False: what was read is told as content, after `opening`.

    `<function>NAME</function>` before bare arguments is read as well.
    """
    held = Held(opening)
    name = yield from _name(state, held)
    if name is None:
        if not (state.tape.is_at_end and state.tape.was_cut):
            state.answer.content(held.text)
        return False
    space, c = yield from state.tape.next_solid()
    state.tape.give_back(c)
    held.add(space)
    if c is None and state.tape.was_cut:
        state.answer.start_call(name)
        return True
    is_object = c == "{"
    if not (is_object or (yield from _spelling(state)) or (yield from follows(state.tape, END))):
        state.answer.content(held.text)
        return False
    call = _Call(state, name, state.answer.start_call(name), held)
    return (yield from (call.read_object() if is_object else call.read()))


def read_tag(state: ParserState, opening: str) -> Reading[None]:
    """A call from its tag on, whose beginning stands at the end of what was read as `opening`."""
    at = opening.rindex(FUNCTION)
    state.tape.give_back(opening[at:])
    yield from read_function(state, opening[:at])


def is_cut_tag(state: ParserState) -> Reading[bool]:
    """Whether a limit ended the text inside of what would have been a tag with a name; it is read then."""
    seen = ""
    while FUNCTION.startswith(seen) and (c := (yield from state.tape.next())) is not None:
        seen += c
    is_cut = state.tape.is_at_end and state.tape.was_cut and FUNCTION.startswith(seen)
    if not is_cut:
        state.tape.give_back(seen)
    return is_cut


def _name(state: ParserState, held: Held) -> Reading[str | None]:
    """The offered name in the tag that comes next, or behind it; None if there is none."""
    for letter in FUNCTION:
        if (yield from state.tape.next()) != letter:
            raise AssertionError("the reader is asked where a tag begins")
    held.add(FUNCTION)
    sign = yield from state.tape.next()
    held.add(sign or "")
    if sign is None or sign not in "=> ":
        return None
    end = END if sign == ">" else ">"
    name = ""
    while not name.endswith(end):
        c = yield from state.tape.next()
        if c is None or c in "\n{" or len(name) > MAX_NAME:
            state.tape.give_back(c)
            return None
        name += c
        held.add(c)
    bare = name.removesuffix(end).strip().strip("\"'")
    if sign == " ":
        attribute = _NAME_IN_ATTRIBUTE.fullmatch(name.removesuffix(end))
        bare = attribute[1].strip() if attribute else ""
    return bare if bare and state.offered.has(bare) else None


def _spelling(state: ParserState) -> Reading[TagSpelling | None]:
    """How the tag of a parameter that comes next is spelled; None if none comes. It is left on the tape."""
    for spelling, beginning in _SPELLINGS.items():
        if (yield from follows(state.tape, beginning)):
            return spelling
    return None


@dataclass(slots=True)
class _Call:
    """The reading of parameters in tags."""

    state: ParserState
    name: str
    index: int
    held: Held
    n_told: int = 0

    def read(self) -> Reading[bool]:
        """Parameters up to the end of the function, or to where something else stands."""
        tape, answer = self.state.tape, self.state.answer
        answer.arguments(self.index, "{")
        while True:
            space, c = yield from tape.next_solid()
            tape.give_back(c)
            spelling = yield from _spelling(self.state)
            if spelling is not None:
                self.held.add(space)
                if not (yield from self._parameter(spelling)):
                    return self._broken_off()
                continue
            is_over = tape.is_at_end
            if (yield from follows(tape, END)):
                yield from read_end_tag(self.state, END)
            elif is_over:
                return self._broken_off()
            else:
                tape.give_back(space)
            answer.arguments(self.index, "}")
            answer.end_call(self.index)
            return True

    def read_object(self) -> Reading[bool]:
        """Arguments as one JSON object, and the end of the function."""
        scanner, scan = self.state.scanner(), Scan.MORE
        while scan is Scan.MORE:
            run = self.state.tape.run(scanner.plain)
            self.held.add(run)
            self._tell(run)
            c = yield from self.state.tape.next()
            if c is None:
                return self._broken_off()
            scan = scanner.push(c)
            if scan is Scan.INVALID:
                self.state.tape.give_back(c)
                return self._broken_off()
            self.held.add(c)
            self._tell(scanner.told(c))
        self.state.answer.end_call(self.index)
        yield from read_end_tag(self.state, END)
        return True

    def _broken_off(self) -> bool:
        """The arguments stop here: at a limit the call stays as far as it was told, otherwise its text is content."""
        is_kept = self.state.tape.is_at_end and (self.state.tape.was_cut or self.state.keeps_cut_calls)
        if is_kept or not self.held.is_all:
            return True
        self.state.answer.retract_call(self.index, self.held.text)
        return False

    def _parameter(self, spelling: TagSpelling) -> Reading[bool]:
        """One parameter; False if the text ended in it."""
        tape, newline = self.state.tape, spelling.newline
        key = yield from self._key(spelling)
        if key is None:
            return False
        types = self.state.offered.types(self.name, key)
        separator = ", " if self.n_told else ""
        self.n_told += 1
        self._tell(f"{separator}{json.dumps(key, ensure_ascii=False)}: ")
        end_tag = yield from self._before_value(spelling)
        if types == frozenset({"string"}):
            self._tell('"')
            space, end = yield from read_until(tape, Ends((end_tag,)), self._tell_text)
            self.held.add(space + (end or ""))
            if end is None:
                return False
            self._tell(f'{escaped(space.removesuffix(newline))}"')
        else:
            pieces: list[str] = []
            space, end = yield from read_until(tape, Ends((end_tag,)), pieces.append)
            text = "".join(pieces)
            self.held.add(text + space + (end or ""))
            if end is None:
                return False
            self._tell(as_json(text + space.removesuffix(newline), types))
        return True

    def _before_value(self, spelling: TagSpelling) -> Reading[str]:
        """Read what stands before a value; returns what ends it."""
        before, end = spelling.newline, spelling.end
        if spelling.raw and (yield from follows(self.state.tape, spelling.raw[0])):
            before, end = spelling.raw[0], spelling.raw[1] + end
        if before and (yield from follows(self.state.tape, before)):
            for _ in before:
                yield from self.state.tape.next()
            self.held.add(before)
        return end

    def _key(self, spelling: TagSpelling) -> Reading[str | None]:
        tag, beginning = "", _SPELLINGS[spelling]
        while not tag.endswith(">"):
            c = yield from self.state.tape.next()
            if c is None or len(tag) > len(beginning) + MAX_NAME:
                self.state.tape.give_back(c)
                return None
            tag += c
            self.held.add(c)
        key = tag.removeprefix(beginning).removesuffix(">")
        attribute = _NAME_IN_ATTRIBUTE.fullmatch(key) if spelling is ATTRIBUTES else None
        return attribute[1] if attribute else key.strip()

    def _tell(self, text: str) -> None:
        self.state.answer.arguments(self.index, text)

    def _tell_text(self, text: str) -> None:
        self.held.add(text)
        self._tell(escaped(text))


_PYTHON = {"True": "true", "False": "false", "None": "null"}


def as_json(text: str, types: frozenset[str] | None) -> str:
    """A parameter's text as JSON of one of these types, or as a string where it is none; None: any list or object."""
    solid = text.strip()
    for literal in (_PYTHON.get(solid, solid), _python_as_json(solid)):
        try:
            kind = type_of(json.loads(literal, parse_constant=_refuse_constant))
        except (ValueError, RecursionError):
            continue
        if kind in (types or ("array", "object")) and kind != "string":
            return literal
    return f'"{escaped(text)}"'


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _python_as_json(text: str) -> str:
    """A Python list or dict as JSON; "" if it is none."""
    if text[:1] not in ("[", "{"):
        return ""
    scanner, told = PythonScanner(), []
    for i, c in enumerate(text):
        scan = scanner.push(c)
        if scan is Scan.INVALID:
            return ""
        told.append(scanner.told(c))
        if scan is Scan.DONE:
            return "".join(told) if i == len(text) - 1 else ""
    return ""
