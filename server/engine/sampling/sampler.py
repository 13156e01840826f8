"""One row of logits becomes one token: pure numpy, about a tenth of a millisecond.

Order: logit bias and penalties, grammar mask, temperature, top-k, top-p, min-p, draw. The mask comes before every
filter, so the result is distributed exactly as the filtered softmax over the allowed tokens. Where a grammar is
complete there is no mask: what the model would rather write than what the grammar allows ends its answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from server.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from server.engine.decision import OpenDecision
    from server.engine.types import SamplingParams

# llama.cpp's default window of the repetition penalty (penalty_last_n).
REPETITION_WINDOW = 64
NUCLEUS_START = 512
# A client's number may be smaller than what a logit can be divided by.
TINY, HUGE = np.finfo(np.float32).tiny, np.finfo(np.float32).max
BLOCK = 1024
SMALL_BLOCK = 64


class Mask(Protocol):
    """What sampling needs of a constraint."""

    def allows(self, token: int) -> bool:
        """Whether the token may come next."""
        ...

    def mask(self) -> NDArray[np.uint32]:
        """The allowed tokens as bits."""
        ...

    @property
    def is_accepting(self) -> bool:
        """Whether the text may end here."""
        ...

    @property
    def end(self) -> int:
        """The token that ends a text."""
        ...


class Sampler:
    """Chooses the tokens of one sequence. `prompt` is what the repetition penalty sees before the first token.

    Mutates its random generator and its counts, nothing else: the same seed and the same tokens give the same choices.
    """

    def __init__(self, params: SamplingParams, prompt: NDArray[np.int32]) -> None:
        self._params = params
        self._rng = np.random.Generator(np.random.PCG64(params.seed))
        self._counts: dict[int, int] = {}
        self._seen: set[int] = set()
        if params.repetition_penalty != 1.0:
            self._seen.update(prompt[-REPETITION_WINDOW:].tolist())
        self._bias_ids = np.fromiter(params.logit_bias.keys(), dtype=np.intp)
        self._biases = np.fromiter(params.logit_bias.values(), dtype=np.float32)

    def record(self, tokens: Iterable[int]) -> None:
        """Count tokens that became part of the answer, sampled or forced."""
        for token in tokens:
            self._counts[token] = self._counts.get(token, 0) + 1
            self._seen.add(token)

    def sample(self, logits: NDArray[np.float32], constraint: Mask | None, decision: OpenDecision | None = None) -> int:
        """The next token for `logits`, shape `[n_vocab]`, which are not changed. An open `decision` offsets some.

        Raises `EngineError` if the logits are not numbers or the constraint allows no token.
        """
        return self.choose(self.row(logits, decision), constraint)

    def row(self, logits: NDArray[np.float32], decision: OpenDecision | None = None) -> NDArray[np.float32]:
        """The logits that a token is chosen from, biased and penalised; `logits` themselves if nothing changes them."""
        row = self._penalised(logits)
        return row if decision is None else decision.apply(row)

    def choose(self, row: NDArray[np.float32], constraint: Mask | None) -> int:
        """The next token for what `row` returned. Raises as `sample` does."""
        best = int(row.argmax())
        if not np.isfinite(row[best]):
            raise EngineError("the model's output is not finite: the file may be damaged")
        if constraint is not None and constraint.is_accepting:
            choice = best if self._params.temperature == 0.0 else self._draw(None, row)
            return choice if constraint.allows(choice) else constraint.end
        if self._params.temperature == 0.0:
            if constraint is None or constraint.allows(best):
                return best
            ids, values = _allowed(row, constraint.mask())
            return int(ids[values.argmax()])
        if constraint is None:
            return self._draw(None, row)
        return self._draw(*_allowed(row, constraint.mask()))

    def _penalised(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        params = self._params
        presence, frequency = params.presence_penalty, params.frequency_penalty
        wants_counts = bool(self._counts) and (presence != 0.0 or frequency != 0.0)
        wants_seen = bool(self._seen) and params.repetition_penalty != 1.0
        if not (wants_counts or wants_seen or len(self._bias_ids)):
            return logits
        row = logits.copy()
        if wants_seen:
            ids = np.fromiter(self._seen, dtype=np.intp)
            values = row[ids]
            penalty = np.maximum(np.float32(params.repetition_penalty), TINY)
            with np.errstate(over="ignore"):
                row[ids] = np.clip(np.where(values > 0, values / penalty, values * penalty), -HUGE, HUGE)
        if wants_counts:
            ids = np.fromiter(self._counts.keys(), dtype=np.intp)
            counts = np.fromiter(self._counts.values(), dtype=np.float32)
            row[ids] -= np.float32(presence) + np.float32(frequency) * counts
        row[self._bias_ids] += self._biases
        return row

    def _draw(self, ids: NDArray[np.intp] | None, values: NDArray[np.float32]) -> int:
        """A token of `ids` (None: all) with probability proportional to exp(values / temperature), filtered."""
        params = self._params
        if 0 < params.top_k < len(values):
            cut = _head(values, params.top_k)[params.top_k - 1]
            ids, values = _take(ids, values, _heaviest(values, params.top_k, cut))
        with np.errstate(over="ignore"):  # what is less likely by more than a number can say is impossible
            weights = np.exp((values - values.max()) / np.maximum(np.float32(params.temperature), TINY))
        if params.top_p < 1.0:
            ids, weights = _take(ids, weights, _nucleus(weights, params.top_p))
        if params.min_p > 0.0:
            ids, weights = _take(ids, weights, np.flatnonzero(weights >= params.min_p * weights.max()))
        index = _inverse_cdf(weights, self._rng.random())
        return index if ids is None else int(ids[index])


def _allowed(row: NDArray[np.float32], mask: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The ids that a packed mask allows and their logits."""
    bits = np.unpackbits(mask.view(np.uint8), count=len(row), bitorder="little").view(np.bool_)
    ids = np.flatnonzero(bits)
    if len(ids) == 0:
        raise EngineError("the grammar allows no token here")
    return ids, row[ids]


def _take(
    ids: NDArray[np.intp] | None, values: NDArray[np.float32], kept: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    return (kept if ids is None else ids[kept]), values[kept]


def _head(values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """The `n` or more largest values, largest first.

    The n-th largest maximum of small blocks is a bound that at least n values reach, and few more do: reading
    all values twice is ten times cheaper than partitioning them.
    """
    n_blocks = len(values) // SMALL_BLOCK
    if n < n_blocks:
        maxima = values[: n_blocks * SMALL_BLOCK].reshape(n_blocks, SMALL_BLOCK).max(axis=1)
        values = values[values >= np.partition(maxima, -n)[-n]]
    return np.sort(values)[::-1]


def _heaviest(values: NDArray[np.float32], n: int, cut: np.float32) -> NDArray[np.intp]:
    """Indices of the `n` largest values, of which `cut` is the smallest; of equals, the first."""
    kept = np.flatnonzero(values >= cut)
    n_surplus = len(kept) - n
    if n_surplus > 0:
        kept = np.delete(kept, np.flatnonzero(values[kept] == cut)[-n_surplus:])
    return kept


def _nucleus(weights: NDArray[np.float32], top_p: float) -> NDArray[np.intp]:
    """Indices of the fewest heaviest weights whose sum reaches `top_p` of the total; at least one.

    Sorts values, not indices, and a growing head of them: a nucleus is small beside 150,000 tokens.
    """
    target = top_p * float(weights.sum(dtype=np.float64))
    n = min(NUCLEUS_START, len(weights))
    while True:
        head = _head(weights, n)
        sums = np.cumsum(head, dtype=np.float64)
        if sums[-1] >= target or n == len(weights):
            n_kept = min(int(np.searchsorted(sums, target)) + 1, len(head))
            return _heaviest(weights, n_kept, head[n_kept - 1])
        n = min(n * 8, len(weights))


def _inverse_cdf(weights: NDArray[np.float32], u: float) -> int:
    """The index at which the running sum passes `u` of the total, `u` in [0, 1). Sums by blocks, then inside one."""
    n_whole = len(weights) // BLOCK
    if n_whole < 2:
        start = 0
        rest = u * float(weights.sum(dtype=np.float64))
        block = weights
    else:
        blocks = np.add.reduceat(weights, np.arange(0, len(weights), BLOCK), dtype=np.float64)
        sums = np.cumsum(blocks)
        target = u * float(sums[-1])
        i = min(int(np.searchsorted(sums, target, side="right")), len(sums) - 1)
        start, block = i * BLOCK, weights[i * BLOCK : (i + 1) * BLOCK]
        rest = target - (float(sums[i - 1]) if i else 0.0)
    inner = np.cumsum(block, dtype=np.float64)
    index = min(int(np.searchsorted(inner, rest, side="right")), len(block) - 1)
    while block[index] == 0.0 and index > 0:
        index -= 1
    return start + index
