"""Bytes of tokens become whole characters, and text ends before a stop string. Knows no tokens, only bytes.

The result never depends on how the bytes were cut into pieces.
"""

from __future__ import annotations

import codecs


class Detokenizer:
    """Text of one generation, incrementally: whole UTF-8, and nothing of a stop string or after it.

    Bytes that can no longer become a character are U+FFFD each, as Python's decoder replaces them. Text that
    may be the beginning of a stop string is held back until that is decided. When several stop strings match,
    the one that is complete first wins; of those that end together, the longest.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = stop
        self._held = ""
        self.stopped_by: str | None = None
        """The stop string that was met."""
        self.n_decoded = 0
        """Whole characters so far, held back or told."""

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was met."""
        return self.stopped_by is not None

    def feed(self, data: bytes) -> str:
        """The text that these bytes complete; empty once a stop string was met."""
        text = self._decoder.decode(data)
        self.n_decoded += len(text)
        return self._scan(text)

    def finish(self) -> str:
        """What was held back, at the end of the generation."""
        text = self._scan(self._decoder.decode(b"", final=True)) + self._held
        self._held = ""
        return text

    def _scan(self, text: str) -> str:
        if self.is_stopped:
            return ""
        if not self._stop:
            return text
        text = self._held + text
        matches = [(at + len(stop), at, stop) for stop in self._stop if (at := text.find(stop)) >= 0]
        if matches:
            _, at, self.stopped_by = min(matches)
            self._held = ""
            return text[:at]
        n_ready = len(text) - max(_overlap(text, stop) for stop in self._stop)
        self._held = text[n_ready:]
        return text[:n_ready]


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`."""
    return next(n for n in range(min(len(text), len(stop) - 1), -1, -1) if text.endswith(stop[:n]))
