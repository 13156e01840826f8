"""Arguments that are not JSON: passed through verbatim up to a marker, the white space before it dropped.

Knows the tape and an answer; no format. Law: white space waits until something solid follows, in linear time.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat_templates.tape import ParserState, Reading, held_tail


@dataclass(slots=True)
class RawArguments:
    """The arguments of one call. `blank` stands for arguments of white space alone: clients parse all of them."""

    state: ParserState
    index: int
    blank: str = "{}"
    space: str = ""
    """White space that more may follow."""
    held: str = ""
    """What may be the beginning of a marker."""

    def until(self, markers: tuple[str, ...]) -> Reading[str | None]:
        """Pass text through up to one of the markers, and return it; None at the end of the text."""
        while (c := (yield from self.state.tape.next())) is not None:
            self.held += c
            if marker := next((m for m in markers if self.held.endswith(m)), None):
                self._tell(self.held.removesuffix(marker))
                self.held = ""
                return marker
            keep = held_tail(self.held, markers)
            self._tell(self.held[: len(self.held) - keep])
            self.held = self.held[len(self.held) - keep :]
        return None

    def take(self, marker: str) -> None:
        """A marker was none: it belongs to the arguments."""
        self.held = marker

    def end(self, *, is_complete: bool) -> None:
        """No more follows. What a limit cut is not complete: nothing is put in its place, and the call does not end."""
        self._tell(self.held)
        if is_complete:
            self.state.answer.arguments(self.index, self.blank)
            self.state.answer.end_call(self.index)

    def _tell(self, text: str) -> None:
        solid = text.rstrip()
        if solid:
            self.state.answer.arguments(self.index, self.space + solid)
            self.space = self.blank = ""
        self.space += text[len(solid) :]
