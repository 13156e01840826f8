"""Calls in Python's own syntax, one after another: `get_weather(city='Rome', days=3), get_time()]`.

Knows the tape and the offered names; no marker of any family. Arguments are read by `PythonArguments`, which evaluates
nothing.
"""

from __future__ import annotations

from chat_templates.readers.held import Held
from chat_templates.readers.json_scanner import Scan
from chat_templates.readers.python_arguments import PythonArguments
from chat_templates.readers.state import MAX_NAME, ParserState
from chat_templates.readers.tape import Reading


def read_python_list(state: ParserState, opening: str) -> Reading[bool | None]:
    """A list of calls, if one comes next: whether there was a call in it. None: it is none, and is left on the tape."""
    c = yield from state.tape.next()
    if c != "[":
        state.tape.give_back(c)
        return None
    space, following = yield from state.tape.next_solid()
    state.tape.give_back(following)
    calls = PythonCalls(state, f"{opening}[{space}")
    if (yield from calls.begins()):
        return (yield from calls.read())
    state.tape.give_back("[" + space)
    return None


class PythonCalls:
    """The reading of calls. `opening` is what was read before them and is content if there is no call."""

    __slots__ = ("_answer", "_n_before", "_opening", "_state", "_tape")

    def __init__(self, state: ParserState, opening: str) -> None:
        self._state = state
        self._tape = state.tape
        self._answer = state.answer
        self._opening = opening
        self._n_before = state.answer.n_calls

    def begins(self) -> Reading[bool]:
        """Whether a name that may be called, or what a limit left of it, comes next. All is left on the tape."""
        name, read = yield from self._name()
        is_fragment = bool(read) and self._opening.rstrip().endswith("[") and self._is_fragment(read)
        self._tape.give_back(read)
        return name is not None or is_fragment

    def read(self) -> Reading[bool]:
        """Read the calls that begin here, up to the bracket after the last one. True if there was one."""
        while (yield from self._call()) and (yield from self._separator()):
            pass
        return self._answer.n_calls > self._n_before

    def read_without_brackets(self) -> Reading[bool]:
        """The same for calls that no bracket precedes: only offered names will do."""
        if self._state.offered.names is not None and (yield from self.begins()):
            return (yield from self.read())
        self._answer.content(self._opening)
        return False

    def _separator(self) -> Reading[bool]:
        """Whether another call follows a comma."""
        space, c = yield from self._tape.next_solid()
        if c == "]":
            return False
        if c != ",":
            self._tape.give_back(space + (c or ""))
            return False
        after, following = yield from self._tape.next_solid()
        if following == "]":
            return False
        self._tape.give_back(following)
        self._opening = space + c + after
        return True

    def _is_fragment(self, read: str) -> bool:
        """Whether a limit cut the text inside the name of a call, of which nothing is told."""
        offered = self._state.offered
        may_be_call = self._answer.n_calls > self._n_before or offered.names is not None
        return self._tape.is_at_end and self._tape.was_cut and may_be_call and offered.may_begin_with(read)

    def _name(self) -> Reading[tuple[str | None, str]]:
        """An offered name and its parenthesis: the name, None if it is none, and all that was read."""
        read = ""
        while True:
            c = yield from self._tape.next()
            if c == "(" and read and self._state.offered.has(read):
                return read, read + c
            is_part = c is not None and (c.isalnum() or c in "_.-/") and len(read) < MAX_NAME
            if c is None or not is_part or not self._state.offered.may_begin_with(read + c):
                self._tape.give_back(c)
                return None, read
            read += c

    def _call(self) -> Reading[bool]:
        """One call. False: it is content, or the text is over."""
        name, read = yield from self._name()
        if name is None:
            if not self._is_fragment(read):
                self._answer.content(self._opening)
                self._tape.give_back(read)
            return False
        held = Held(self._opening + read)
        scanner = PythonArguments(self._state.offered.parameters.get(name, ()))
        scanner.push("(")
        index = self._answer.start_call(name)
        self._answer.arguments(index, scanner.told("("))
        scan = Scan.MORE
        while scan is Scan.MORE:
            text = self._tape.run(scanner.plain)
            c = yield from self._tape.next()
            scan = Scan.INVALID if c is None else scanner.push(c)
            self._answer.arguments(index, text)
            if scan is Scan.INVALID:
                held.add(text)
                self._tape.give_back(c)
                self._break_off(index, held, scanner)
                return False
            held.add(text + (c or ""))
            self._answer.arguments(index, scanner.told(c or ""))
        self._answer.end_call(index)
        return True

    def _break_off(self, index: int, held: Held, scanner: PythonArguments) -> None:
        """The arguments stop here: at a limit the call stays as far as it was told, otherwise its text is content."""
        if self._tape.is_at_end and (self._tape.was_cut or self._state.keeps_cut_calls):
            self._answer.arguments(index, scanner.unfinished())
        elif held.is_all:
            self._answer.retract_call(index, held.text)
        else:
            self._answer.content(scanner.held)
