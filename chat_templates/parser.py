"""Generated text becomes events, one character at a time.

Knows an output format (data) and the names of the offered tools; never a token, a schema or a socket. Laws: the events
do not depend on how the text was cut, by construction, since only characters are read; every character ends up in
content, reasoning, a call or a call's syntax; time is linear and held-back text is bounded.

Theory of operation. One coroutine reads characters off a tape and tells an answer. The text loop holds back only what
may be the beginning of a marker. A reader takes over at a marker and either tells a call or gives its text up: to
content if that text is a JSON value that is no call, back to the tape if it was not what the marker promised.
"""

from __future__ import annotations

from chat_templates.call_object import MAX_HELD, MAX_NAME, CallObject, OfferedNames
from chat_templates.events import Event
from chat_templates.formats import BareCall, OutputFormat, TaggedCall, WrappedCall
from chat_templates.json_scanner import WHITESPACE, JsonScanner, Scan
from chat_templates.tape import Answer, Reading, Tape, held_tail, json_as_content

MAX_INFO = 16  # characters after a code fence: json, tool_call, python …
FENCE = "```"


class OutputParser:
    """Reads one answer. `feed` as text arrives, then `finish` once; each returns the events completed by it."""

    def __init__(self, output: OutputFormat, tool_names: frozenset[str] | None) -> None:
        self._format = output
        self._offered = OfferedNames(tool_names)
        self._tape = Tape()
        self._answer = Answer()
        self._markers = _markers(output, self._offered)
        self._machine = self._read()
        next(self._machine)

    def feed(self, text: str) -> list[Event]:
        """The events that this piece of text completes."""
        for c in text:
            self._machine.send(c)
        return self._answer.drain()

    def finish(self, *, cut: bool = False) -> list[Event]:
        """The events that the end of the text completes. `cut`: the text ended at a limit, not by the model.

        A call that was cut stays a call without a `ToolCallEnd`; one that the model broke off is retracted, unless the
        family's format keeps it.
        """
        self._tape.was_cut = cut
        try:
            self._machine.send(None)
        except StopIteration:
            return self._answer.drain()
        raise AssertionError("the reading ends at the end of the text")

    # --- the text loop -----------------------------------------------------------------------------------------------

    def _read(self) -> Reading[None]:
        while (marker := (yield from self._content_until_marker())) is not None:
            yield from self._dispatch(marker)
        self._answer.end()

    def _content_until_marker(self) -> Reading[str | None]:
        held = ""
        while (c := (yield from self._tape.next())) is not None:
            held += c
            while held:
                if held in self._markers:
                    return held
                if any(marker.startswith(held) for marker in self._markers):
                    break
                self._answer.content(held[0])
                held = held[1:]
        self._answer.content(held)
        return None

    def _dispatch(self, marker: str) -> Reading[None]:
        output = self._format
        if marker in output.stop:
            return
        if marker == output.code_marker:
            yield from self._code()
        elif output.reasoning and marker == output.reasoning[0]:
            yield from self._reasoning(output.reasoning[1])
        elif isinstance(output.call, TaggedCall) and marker == output.call.start:
            yield from self._tagged(output.call)
        elif isinstance(output.call, WrappedCall) and marker == output.call.start:
            yield from self._wrapped(output.call)
        elif marker == FENCE:
            yield from self._fence()
        else:
            self._tape.give_back(marker)
            yield from self._calls("")

    # --- code --------------------------------------------------------------------------------------------------------

    def _code(self) -> Reading[None]:
        """Everything up to the end of the turn is one call of `python` with raw code."""
        index = self._answer.start_call("python")
        stops = self._format.stop
        held = ""
        while (c := (yield from self._tape.next())) is not None:
            held += c
            if held.endswith(stops):
                held = next(held.removesuffix(stop) for stop in stops if held.endswith(stop))
                break
            keep = held_tail(held, stops)
            self._answer.arguments(index, held[: len(held) - keep])
            held = held[len(held) - keep :]
        self._answer.arguments(index, held)
        self._answer.end_call(index)

    # --- reasoning ---------------------------------------------------------------------------------------------------

    def _reasoning(self, end: str) -> Reading[None]:
        """Stream reasoning, but hold it from a call's marker on: in a block that is never closed it is a call."""
        call = self._format.call
        openers = (call.start,) if isinstance(call, WrappedCall) else ()
        pending = ""  # white space and the possible beginning of a marker
        is_first = True  # the first delta loses the white space after the opening marker
        while (c := (yield from self._tape.next())) is not None:
            pending += c
            if pending.endswith(end):
                self._answer.reasoning(_without_lead(pending.removesuffix(end).rstrip(), is_first))
                yield from self._skip_space()
                return
            if openers and pending.endswith(openers):
                yield from self._call_in_reasoning(pending, end)
                return
            keep = held_tail(pending, (end, *openers), also=WHITESPACE)
            if len(pending) > keep:
                self._answer.reasoning(_without_lead(pending[: len(pending) - keep], is_first))
                is_first = False
                pending = pending[len(pending) - keep :]
        self._answer.reasoning(_without_lead(pending.rstrip(), is_first))

    def _call_in_reasoning(self, held: str, end: str) -> Reading[None]:
        while len(held) < MAX_HELD and (c := (yield from self._tape.next())) is not None:
            held += c
            if held.endswith(end):
                self._answer.reasoning(held.removesuffix(end).rstrip())
                yield from self._skip_space()
                return
        self._tape.give_back(held)

    def _skip_space(self) -> Reading[None]:
        _, c = yield from self._tape.next_solid()
        self._tape.give_back(c)

    # --- <function=NAME>{…}</function> -------------------------------------------------------------------------------

    def _tagged(self, call: TaggedCall) -> Reading[None]:
        name = ""
        while not name.endswith(call.name_end):
            c = yield from self._tape.next()
            if c is None:
                if not (self._tape.was_cut or self._format.keeps_cut_calls):
                    self._answer.content(call.start + name)
                return
            if c in "<{\n" or len(name) > MAX_NAME:
                self._answer.content(call.start + name)
                self._tape.give_back(c)
                return
            name += c
        bare_name = name.removesuffix(call.name_end).strip()
        if not bare_name or not (self._format.passes_unknown_names or self._offered.has(bare_name)):
            self._answer.content(call.start + name)
            return
        yield from self._tagged_arguments(self._answer.start_call(bare_name), call.end)

    def _tagged_arguments(self, index: int, end: str) -> Reading[None]:
        _, c = yield from self._tape.next_solid()
        self._tape.give_back(c)
        if c != "{":
            yield from self._raw_arguments(index, end, blank="{}")
            return
        scanner = JsonScanner()
        while (c := (yield from self._tape.next())) is not None:
            scan = scanner.push(c)
            if scan is Scan.INVALID:
                self._tape.give_back(c)
                yield from self._raw_arguments(index, end, blank="")
                return
            self._answer.arguments(index, c)
            if scan is Scan.DONE:
                self._answer.end_call(index)
                yield from self._end_tag(end)
                return

    def _raw_arguments(self, index: int, end: str, blank: str) -> Reading[None]:
        """Arguments that are not JSON: verbatim up to the end tag, white space before it dropped.

        `blank` stands for arguments that are only white space: clients parse the arguments of every call.
        """
        held = ""
        while (c := (yield from self._tape.next())) is not None:
            held += c
            if held.endswith(end):
                self._answer.arguments(index, held.removesuffix(end).rstrip() or blank)
                self._answer.end_call(index)
                return
            keep = held_tail(held, (end,), also=WHITESPACE)
            if len(held) > keep:
                self._answer.arguments(index, held[: len(held) - keep])
                held = held[len(held) - keep :]
                blank = ""
        self._answer.arguments(index, held.rstrip())

    def _end_tag(self, end: str) -> Reading[None]:
        """Read an end tag if one comes; a missing one does not unmake a complete call."""
        space, c = yield from self._tape.next_solid()
        seen = ""
        while c is not None and end.startswith(seen + c):
            seen += c
            if seen == end:
                return
            c = yield from self._tape.next()
        if not (c is None and self._tape.was_cut):
            self._tape.give_back(space + seen + (c or ""))

    # --- JSON objects that are calls ---------------------------------------------------------------------------------

    def _wrapped(self, call: WrappedCall) -> Reading[None]:
        space, c = yield from self._tape.next_solid()
        self._tape.give_back(c)
        if c is None and self._tape.was_cut:
            return
        if c is None or c not in "{[":
            self._answer.content(call.start + space)
            return
        if (yield from self._calls(call.start + space)):
            yield from self._end_tag(call.end)

    def _fence(self) -> Reading[None]:
        """A code fence around calls vanishes; around anything else it is content."""
        opening = FENCE
        while True:
            c = yield from self._tape.next()
            if c is None or not (c.isalpha() or c in "_-") or len(opening) > len(FENCE) + MAX_INFO:
                break
            opening += c
        self._tape.give_back(c)
        space, c = yield from self._tape.next_solid()
        self._tape.give_back(c)
        if c is None or c not in "{[":
            self._answer.content(opening + space)
            return
        if (yield from self._calls(opening + space)):
            yield from self._end_tag(FENCE)

    def _calls(self, opening: str) -> Reading[bool]:
        """Calls as JSON objects, alone, separated or in an array, after an `opening` that is theirs or content.

        True if there was a call. What follows the last call is left on the tape.
        """
        array = JsonScanner()
        c = yield from self._tape.next()
        if c == "[":
            array.push("[")
            space, c = yield from self._tape.next_solid()
            opening += "[" + space
            if c != "{":
                self._answer.content(opening)
                self._tape.give_back(c)
                yield from json_as_content(self._tape, self._answer, array)
                return False
        n_calls = self._answer.n_calls
        while c == "{":
            if not (yield from CallObject(self._tape, self._answer, self._offered, opening).read()):
                if array.depth:
                    array.push("0")  # whatever the element was, a value
                    yield from json_as_content(self._tape, self._answer, array)
                break
            opening, c = yield from self._separator(in_array=array.depth > 0)
        return self._answer.n_calls > n_calls

    def _separator(self, *, in_array: bool) -> Reading[tuple[str, str | None]]:
        """What stands between this call and a next one, and that one's brace; nothing if no next one comes."""
        space, c = yield from self._tape.next_solid()
        if in_array and c == "]":
            return "", None
        if c == "{":
            return space, c
        if c is None or c not in ",;":
            self._tape.give_back(space + (c or ""))
            return "", None
        after, following = yield from self._tape.next_solid()
        if following == "{":
            return space + c + after, following
        self._tape.give_back(space + c + after + (following or ""))
        return "", None


def _without_lead(text: str, is_first: bool) -> str:
    return text.lstrip() if is_first else text


def _markers(output: OutputFormat, offered: OfferedNames) -> tuple[str, ...]:
    """What takes the text loop out of plain content.

    JSON outside the family's markers can be a call only by an offered name, or if it is the family's own form.
    """
    markers = [*output.stop]
    if not isinstance(output.call, BareCall) and offered.names != frozenset():
        markers.append(output.call.start)
    if output.code_marker:
        markers.append(output.code_marker)
    if output.reasoning:
        markers.append(output.reasoning[0])
    if offered.names or (offered.names is None and isinstance(output.call, BareCall)):
        markers += ["{", "[", FENCE]
    return tuple(markers)
