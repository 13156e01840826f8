"""What was read of something that may yet turn out to be no call. Knows no format."""

from __future__ import annotations

from chat_templates.readers.state import MAX_HELD


class Held:
    """Text as long as it may be taken back: no more than `MAX_HELD` characters of it are kept."""

    __slots__ = ("_pieces", "n")

    def __init__(self, text: str) -> None:
        self._pieces = [text]
        self.n = len(text)

    @property
    def is_all(self) -> bool:
        """Whether `text` is all that was read."""
        return self.n < MAX_HELD

    @property
    def text(self) -> str:
        """What was read."""
        return "".join(self._pieces)

    def add(self, text: str) -> None:
        """More was read."""
        if self.is_all:
            self._pieces.append(text)
        self.n += len(text)
