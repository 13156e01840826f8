"""The decision to call: opened at an answer's beginning, taken by its first token that is not blank.

Knows tokens, offsets and constraints; no tool and no text. One `OpenDecision` owns the whole of it for a sequence: when
it is open, what it adds to logits, what choosing a token commits to, and when it is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from server.engine.sampling.constraint import Constraint


@dataclass(frozen=True, slots=True)
class Decision:
    """A bias on the first token that is not blank. An `offset` of 0 only tells where the decision is open.

    `offset` is added to the logits of `tokens` at the beginning of the answer, after tokens of `passes` (white space)
    for as long as only they came, and again after one of `reopens` (the end of a thought). Where `is_open` is False the
    answer begins inside of a thought: the decision comes after it.

    With a `commitment`, choosing one of `tokens` there commits: the answer goes on under that constraint, and the token
    itself is chosen again under it. It follows the tokens before the decision if it allows them, else it begins here.
    """

    tokens: tuple[int, ...]
    offset: float
    passes: frozenset[int] = frozenset()
    reopens: frozenset[int] = frozenset()
    is_open: bool = True
    commitment: Constraint | None = None


class OpenDecision:
    """The decision of one sequence. Without a `Decision` it is never open."""

    __slots__ = ("_decision", "_ids", "_is_open")

    def __init__(self, decision: Decision | None) -> None:
        self._decision = decision
        self._is_open = decision is not None and decision.is_open
        self._ids = np.array(() if decision is None else decision.tokens, dtype=np.intp)

    @property
    def beginnings(self) -> NDArray[np.intp] | None:
        """The tokens with which a call begins, while that is open; None once it is decided."""
        return self._ids if self._is_open else None

    def apply(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits as the decision sees them, shape `[n_vocab]`; the same array if it is not open, else a copy."""
        if not self._is_open or self._decision is None or self._decision.offset == 0.0:
            return row
        row = row.copy()
        row[self._ids] += np.float32(self._decision.offset)
        return row

    def record(self, tokens: Iterable[int]) -> None:
        """Follow tokens that became part of the answer, sampled or forced."""
        if self._decision is None:
            return
        for token in tokens:
            passes = self._is_open and token in self._decision.passes
            self._is_open = passes or token in self._decision.reopens

    def commit(self, token: int, generated: NDArray[np.int32]) -> Constraint | None:
        """The constraint that choosing `token` commits the answer to, past what was `generated`; None for none.

        The decision is closed then: nothing is offset from now on, and no thought opens it again.
        """
        decision = self._decision
        if not self._is_open or decision is None or decision.commitment is None or token not in decision.tokens:
            return None
        constraint, tokens = decision.commitment.fork(), generated.tolist()
        if constraint.n_valid(tokens) == len(tokens):
            for each in tokens:
                constraint.accept(each)
        self._decision, self._is_open = None, False
        return constraint
