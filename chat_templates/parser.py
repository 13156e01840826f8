"""Generated text becomes events, one character at a time.

Knows an output format (data) and the names of the offered tools; never a token, a schema or a socket. Laws: the events
do not depend on how the text was cut, by construction, since only characters are read; every character ends up in
content, reasoning, a call or a call's syntax; time is linear and held-back text is bounded.

Theory of operation. One coroutine reads characters off a tape and tells an answer. The text loop holds back only what
may be the beginning of a marker. A reader takes over at a marker and either tells a call or gives its text up: to
content if that text is a JSON value that is no call, back to the tape if it was not what the marker promised.

Calls without a marker stand where a line begins, or first in a code fence whose language may be theirs. Elsewhere they
are told about, not made: in the middle of a line and in code they are content like any other text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import partial

from chat_templates.events import Event
from chat_templates.formats import OutputFormat
from chat_templates.forms.siblings import SIBLINGS, Reader
from chat_templates.readers.json_calls import read_end_tag
from chat_templates.readers.state import FENCE, MAX_HELD, OfferedNames, ParserState
from chat_templates.readers.tape import Ends, Reading, follows, read_until

MAX_INFO = 16  # characters after a code fence: json, tool_call, python …
NO_OBJECT = r"\{(?=[^\s\"'])"  # a brace in prose or code, not worth an attempt
NOT_AT_A_PLACE = r"(?<=[^\s>`)}\]\"'])"  # behind this no line begins, nor the code of a fence, and no call ended
_BACKTICKS, _LANGUAGE = re.compile("`+"), re.compile(r"[\w-]+")
MAX_RUN = 4  # backticks of a fence that are told apart: three and more


class OutputParser:
    """Reads one answer. `feed` as text arrives, then `finish` once; each returns the events completed by it.

    With `in_thought` the answer begins inside of a thought, whose opening is in the prompt.
    """

    def __init__(self, output: OutputFormat, offered: OfferedNames, *, in_thought: bool = False) -> None:
        self._format = output
        self._state = ParserState(
            offered, output.stop, output.passes_unknown_names, output.keeps_cut_calls, output.scanner
        )
        self._tape = self._state.tape
        self._answer = self._state.answer
        self._openings = output.call.openings(offered)
        self._siblings = _siblings(self._openings) if offered.names else {}
        markers = _markers(output, offered)
        exempt = _exempt(output, markers - {"{", "[", FENCE}, self._siblings)
        self._markers = Ends(markers | self._siblings.keys(), exempt=exempt)
        self._markers_in_code = Ends(markers - {"{", "["}, exempt=exempt)
        self._n_backticks = 0  # of the code fence around the text, 0 outside of one
        thought_end = output.reasoning[1] if output.reasoning else ""
        self._thought_ends = Ends(filter(None, (thought_end, *self._openings)))
        self._thought_end = Ends(filter(None, (thought_end,)))
        self._no_end_before = 0
        self._in_thought = in_thought
        self._machine = self._read()
        next(self._machine)

    def feed(self, text: str) -> list[Event]:
        """The events that this piece of text completes."""
        self._tape.feed(text)
        next(self._machine)
        return self._answer.drain()

    def finish(self, *, cut: bool = False) -> list[Event]:
        """The events that the end of the text completes. `cut`: the text ended at a limit, not by the model.

        A call that was cut stays a call without a `ToolCallEnd`; one that the model broke off is retracted, unless the
        family's format keeps it.
        """
        self._tape.end(was_cut=cut)
        try:
            next(self._machine)
        except StopIteration:
            return self._answer.drain()
        raise AssertionError("the reading ends at the end of the text")

    # --- the text loop -----------------------------------------------------------------------------------------------

    def _read(self) -> Reading[None]:
        if self._in_thought and self._format.reasoning:
            yield from self._reasoning(self._format.reasoning[1])
        yield from self._format.call.begin(self._state)
        while (marker := (yield from self._content_until_marker())) is not None:
            yield from self._dispatch(marker)
        self._answer.end()

    def _content_until_marker(self) -> Reading[str | None]:
        markers = self._markers_in_code if self._n_backticks else self._markers
        space, marker = yield from read_until(self._tape, markers, self._answer.content)
        self._answer.content(space)
        return marker

    def _dispatch(self, marker: str) -> Reading[None]:
        output = self._format
        if marker in output.stop:
            return
        if marker in self._openings:
            yield from output.call.read(self._state, marker)
        elif marker == output.code_marker:
            yield from self._code()
        elif output.reasoning and marker == output.reasoning[0]:
            yield from self._reasoning(output.reasoning[1])
        elif marker == FENCE:
            yield from self._fence()
        elif not self._answer.is_at_line_start:
            self._answer.content(marker)
        elif marker in self._siblings:
            yield from self._siblings[marker](self._state, marker)
        else:
            self._tape.give_back(marker)
            yield from output.call.read_unmarked(self._state, "")

    # --- code --------------------------------------------------------------------------------------------------------

    def _code(self) -> Reading[None]:
        """Everything up to the end of the turn is one call of `python` with raw code."""
        index = self._answer.start_call("python")
        tell = partial(self._answer.arguments, index)
        space, _ = yield from read_until(self._tape, Ends(self._format.stop), tell)
        tell(space)
        self._answer.end_call(index)

    # --- reasoning ---------------------------------------------------------------------------------------------------

    def _reasoning(self, end: str) -> Reading[None]:
        """Stream reasoning, but hold it from a call's marker on: in a block that is never closed it is a call."""
        yield from self._skip_space()
        ends = self._thought_ends
        while True:
            space, marker = yield from read_until(self._tape, ends, self._answer.reasoning)
            if marker is None:
                return
            if marker == end:
                yield from self._skip_space()
                return
            held = yield from self._until_closed(end)
            self._tape.give_back(held)
            if not held.endswith(end):
                self._tape.give_back(marker)
                return
            self._answer.reasoning(space + marker)

    def _until_closed(self, end: str) -> Reading[str]:
        """The text up to the end of the reasoning; the rest of the text, or a great deal of it, if there is no end.

        No text is searched twice: where there was no end for one thought, there is none for the next.
        """
        held = ""
        if self._tape.position < self._no_end_before:
            return held
        while len(held) < MAX_HELD:
            run = self._tape.run(self._thought_end.plain)
            self._tape.give_back(run[MAX_HELD - len(held) :])
            held += run[: MAX_HELD - len(held)]
            n = len(end) if (yield from follows(self._tape, end)) else 1
            for _ in range(n):
                held += (yield from self._tape.next()) or ""
            if n > 1 or self._tape.is_at_end:
                break
        if not held.endswith(end):
            self._no_end_before = self._tape.position
        return held

    def _skip_space(self) -> Reading[None]:
        _, c = yield from self._tape.next_solid()
        self._tape.give_back(c)

    def _is_over(self) -> Reading[bool]:
        """Whether the model ended the answer here."""
        for stop in self._format.stop:
            if (yield from follows(self._tape, stop)):
                return True
        return self._tape.is_at_end and not self._tape.was_cut

    # --- near misses --------------------------------------------------------------------------------------------------

    def _fence(self) -> Reading[None]:
        """A code fence around calls vanishes, and one behind the last call; around anything else it is content."""
        is_at_line_start = self._answer.is_at_line_start
        opening = FENCE + (yield from self._run(_BACKTICKS, MAX_HELD))
        n_backticks = min(len(opening), MAX_RUN)
        if self._n_backticks:
            self._answer.content(opening)
            if n_backticks >= self._n_backticks:
                self._n_backticks = 0
            return
        language = yield from self._run(_LANGUAGE, MAX_INFO)
        space, c = yield from self._tape.next_solid()
        self._tape.give_back(c)
        if opening == FENCE and not language and self._answer.is_behind_call and (yield from self._is_over()):
            return  # it closes a fence that was never opened
        opening += language + space
        is_place = is_at_line_start or "\n" in space
        if is_place and c == "<" and (language in self._format.call.languages or language == "xml"):
            is_call = yield from self._tag_in_fence(opening)
        elif is_place and language in self._format.call.languages:
            is_call = yield from self._format.call.read_unmarked(self._state, opening, end=FENCE)
        else:
            self._answer.content(opening)
            is_call = False
        if is_call:
            yield from read_end_tag(self._state, FENCE)
        else:
            self._n_backticks = n_backticks

    def _tag_in_fence(self, opening: str) -> Reading[bool]:
        """Read a call that begins with a marker, right behind a fence. True: there was one; else all is content."""
        n_calls = self._answer.n_calls
        for marker, read in (*((marker, self._format.call.read) for marker in self._openings), *self._siblings.items()):
            if (yield from follows(self._tape, marker)):
                for _ in marker:
                    yield from self._tape.next()
                yield from read(self._state, opening + marker)
                return self._answer.n_calls > n_calls
        self._answer.content(opening)
        return False

    def _run(self, plain: re.Pattern[str], limit: int) -> Reading[str]:
        """The next characters that `plain` matches one by one, no more than `limit`."""
        run = ""
        while len(run) < limit:
            run += self._tape.run(plain)
            c = yield from self._tape.next()
            if c is None or plain.match(c) is None:
                self._tape.give_back(c)
                break
            run += c
        self._tape.give_back(run[limit:])
        return run[:limit]


def _siblings(own: tuple[str, ...]) -> dict[str, Reader]:
    """Other families' forms, but for those that begin as this family's own do."""

    def is_own(marker: str) -> bool:
        return any(marker.startswith(each) or each.startswith(marker) for each in own)

    return {marker: read for marker, read in SIBLINGS.items() if not is_own(marker)}


def _exempt(output: OutputFormat, own: Collection[str], siblings: Iterable[str]) -> str:
    """What begins like a marker and is known to be none by the character before it or after it."""
    near_misses = (each for each in ("{", "[", *siblings) if not any(marker.startswith(each) for marker in own))
    foreign = "|".join(map(re.escape, near_misses))
    return "|".join(filter(None, (NO_OBJECT, f"{NOT_AT_A_PLACE}(?:{foreign})", output.call.no_opening)))


def _markers(output: OutputFormat, offered: OfferedNames) -> frozenset[str]:
    """What takes the text loop out of plain content.

    JSON outside the family's markers can be a call only by an offered name, or if it is the family's own form.
    """
    markers = [*output.stop, *output.call.openings(offered)]
    if output.code_marker:
        markers.append(output.code_marker)
    if output.reasoning:
        markers.append(output.reasoning[0])
    if offered.names or (offered.names is None and output.call.is_unmarked):
        markers += ["{", "[", FENCE]
    return frozenset(markers)
