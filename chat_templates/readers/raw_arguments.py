"""Arguments that are not JSON: passed through verbatim up to a marker, the white space before it dropped.

Knows the tape and an answer; no format.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat_templates.readers.state import ParserState
from chat_templates.readers.tape import Ends, Reading, read_until


@dataclass(slots=True)
class RawArguments:
    """The arguments of one call. `blank` stands for arguments of white space alone: clients parse all of them."""

    state: ParserState
    index: int
    blank: str = "{}"
    space: str = ""
    """White space before the marker that was read last."""

    def until(self, markers: Ends) -> Reading[str | None]:
        """Pass text through up to one of the markers, and return it; None at the end of the text."""
        self.space, marker = yield from read_until(self.state.tape, markers, self._tell)
        return marker

    def take(self, marker: str) -> None:
        """A marker was none: it belongs to the arguments."""
        self._tell(self.space + marker)

    def end(self, *, is_complete: bool) -> None:
        """No more follows. What a limit cut is not complete: nothing is put in its place, and the call does not end."""
        if is_complete:
            self.state.answer.arguments(self.index, self.blank)
            self.state.answer.end_call(self.index)

    def _tell(self, text: str) -> None:
        self.state.answer.arguments(self.index, text)
        self.blank = ""
