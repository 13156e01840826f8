"""What one step evaluates: which tokens of which sequences, and how many of a prompt at a time.

Knows tokens and counts; nothing of memory, and not who is next. The law: where a step has room for a chunk of a prompt,
no part of the prompt is smaller than one, so that the same kernels evaluate it whatever the room was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from server.engine.sequence import Sequence

# Smaller chunks of a prompt cost more per token: twice as much with llama.cpp's kernels alone, a third with ours.
MIN_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Slice:
    """Tokens `start` … `stop` - 1 of a sequence, to be evaluated in this step, and a draft of what follows them.

    If they are the sequence's last ones (`reaches_end`), logits are wanted of the last and of each drafted token; of
    all tokens where the prompt is weighed.
    """

    sequence: Sequence
    start: int
    stop: int
    reaches_end: bool
    draft: NDArray[np.int32]
    n_match: int
    is_expected: bool = False

    @property
    def n_tokens(self) -> int:
        """Tokens that are evaluated, drafted ones included."""
        return self.stop - self.start + len(self.draft)

    @property
    def n_logits(self) -> int:
        """Rows of logits that are wanted."""
        if self.sequence.weighs:
            return self.n_tokens
        return 1 + len(self.draft) if self.reaches_end else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: decodes of any sequences, or prefills; their cells are reserved."""

    slices: tuple[Slice, ...]


def without_draft(sequence: Sequence, n: int) -> Slice:
    """The next `n` pending tokens."""
    stop = sequence.n_computed + n
    return Slice(sequence, sequence.n_computed, stop, stop == sequence.n_tokens, sequence.tokens[:0], 0)


def draft_room(n: int, n_batch: int) -> int:
    """How many drafted tokens may follow `n` of a prompt without changing the kernels that evaluate these."""
    return min(n_batch - n, n if n >= MIN_CHUNK else MIN_CHUNK - 1 - n)


def chunk(n_pending: int, room: int) -> int:
    """How many tokens of a prompt to evaluate now: all, or as many as leave a whole chunk for the next time.

    A remainder below `MIN_CHUNK` would take another kernel's path, and the result would depend on the room there was.
    """
    if n_pending <= room:
        return n_pending
    if room < MIN_CHUNK:
        return room
    return room if n_pending - room >= MIN_CHUNK else max(n_pending - MIN_CHUNK, 1)
