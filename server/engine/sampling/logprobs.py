"""What a token was chosen from: its probability under the grammar's mask, and the likeliest others.

Knows rows of logits, masks and tokens; no text and no sequence. The law: it only reads. What it is asked changes no
choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from server.engine.sampling.sampler import Mask

_BLOCK = 64
# Below this the sum of a row's weights, in proportion to its largest, is not worth its digits in single precision.
_MIN_TOTAL = 1e-6
# A grammar that leaves the tokens of so few words of its mask is weighed token by token.
_FEW_WORDS = 64


@dataclass(frozen=True, slots=True)
class Weighed:
    """One choice of a token: natural logarithms of probabilities, before any temperature.

    `others` are the likeliest tokens that were not chosen, likeliest first. Those that end an answer are one: where a
    grammar is complete, what it does not allow ends the answer too. `call` is the probability, at an open decision,
    that a call begins; None elsewhere.
    """

    logprob: float
    others: tuple[tuple[int, float], ...]
    call: float | None = None


class Logprobs:
    """Weighs the choices of one sequence, with `n_others` of the tokens that were not chosen. `eog` end an answer."""

    def __init__(self, n_others: int, eog: Collection[int]) -> None:
        self._n_others = n_others
        self._eog = np.array(sorted(eog), dtype=np.intp)
        # A row of floats is beyond what malloc keeps: a fresh one for each token costs more than the exponentials.
        self._weights = np.empty(0, dtype=np.float32)

    def weigh(
        self,
        row: NDArray[np.float32],
        constraint: Mask | None,
        chosen: int,
        beginnings: NDArray[np.intp] | None = None,
    ) -> Weighed:
        """What choosing `chosen` from `row`, shape `[n_vocab]`, was likely to be. `row` is as the sampler sees it.

        `beginnings` are the tokens with which a call begins, where that is being decided. Raises what `Mask.mask`
        raises.
        """
        is_complete = constraint is None or constraint.is_accepting
        mask = None if constraint is None else constraint.mask()
        if mask is not None and not is_complete and np.count_nonzero(mask) <= _FEW_WORDS:
            return self._of_few(row, _ids(mask, len(row)), chosen, beginnings)
        top = row.max()
        weights = self._exponentials(row, top)
        everything = float(weights.sum()) if mask is not None and is_complete else 0.0
        if mask is not None:
            np.multiply(weights, np.unpackbits(mask.view(np.uint8), count=len(row), bitorder="little"), out=weights)
        end = float(weights[self._eog].sum()) if is_complete else 0.0
        weights[self._eog] = 0.0
        going_on = float(weights.sum())
        end = max(end, everything - going_on)
        total = going_on + end
        if total < _MIN_TOTAL and mask is not None:
            return self._of_few(row, _ids(mask, len(row)), chosen, beginnings)
        is_end = bool((self._eog == chosen).any())
        call = None if beginnings is None else float(weights[beginnings].sum()) / total
        logprob = _log(end / total) if is_end else float(row[chosen] - top) - math.log(total)
        ids = [token for token in self._likeliest(weights) if token != chosen][: self._n_others]
        others = [(token, _log(float(weights[token]) / total)) for token in ids]
        if not is_end and end > 0.0:
            others = [*others, (int(self._eog[0]), _log(end / total))]
        return Weighed(min(logprob, 0.0), self._best(others), call)

    def _of_few(
        self, row: NDArray[np.float32], ids: NDArray[np.intp], chosen: int, beginnings: NDArray[np.intp] | None
    ) -> Weighed:
        values = row[ids].astype(np.float64)
        logs = values - values.max()
        logs -= math.log(float(np.exp(logs).sum()))
        order = np.argsort(-logs, kind="stable")[: self._n_others + 1].tolist()
        others = [(int(ids[i]), float(logs[i])) for i in order if ids[i] != chosen]
        call = None if beginnings is None else float(np.exp(logs[np.isin(ids, beginnings)]).sum())
        return Weighed(min(float(logs[ids == chosen].sum()), 0.0), self._best(others), call)

    def _best(self, others: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
        return tuple(sorted(others, key=lambda other: -other[1])[: self._n_others])

    def _exponentials(self, row: NDArray[np.float32], top: np.float32) -> NDArray[np.float32]:
        if len(self._weights) != len(row):
            self._weights = np.empty(len(row), dtype=np.float32)
        np.subtract(row, top, out=self._weights)
        return np.exp(self._weights, out=self._weights)

    def _likeliest(self, weights: NDArray[np.float32]) -> list[int]:
        """The heaviest tokens, one more than are told, heaviest first; fewer if the others weigh nothing.

        The n-th largest maximum of interleaved blocks is a bound that at least n tokens reach, and few more do.
        """
        n, n_blocks = self._n_others + 1, len(weights) // _BLOCK
        cut = np.float32(np.finfo(np.float32).tiny)
        if n < n_blocks:
            maxima = weights[: n_blocks * _BLOCK].reshape(_BLOCK, n_blocks).max(axis=0)
            cut = max(cut, np.partition(maxima, -n)[-n])
        ids = np.flatnonzero(weights >= cut)
        order = np.argsort(-weights[ids], kind="stable")[:n]
        heaviest: list[int] = ids[order].tolist()
        return heaviest


def _ids(mask: NDArray[np.uint32], n: int) -> NDArray[np.intp]:
    """The tokens of `n` that a mask allows, in order; only its words that allow any are looked at."""
    words = np.flatnonzero(mask)
    bits = np.unpackbits(mask[words].view(np.uint8), bitorder="little").reshape(-1, 32)
    rows, columns = np.nonzero(bits)
    ids: NDArray[np.intp] = words[rows] * 32 + columns
    return ids[ids < n]


def _log(p: float) -> float:
    return math.log(p) if p > 0.0 else -math.inf
