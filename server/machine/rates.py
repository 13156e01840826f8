"""How fast a context is: prompts, single tokens, and the few rows at a time of forced runs and drafts.

Knows contexts and a clock. Used when a server starts, which it also warms, and to find the best setting of a machine.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from server.llama.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from server.llama.context import Context

FEW = 5  # rows of a step with a forced run or a draft


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second: `prefill` many at a time, `decode` one by one, `few` by fives."""

    prefill: float
    decode: float
    few: float


def measure_rates(context: Context, *, n_prefill: int, n_steps: int) -> Rates:
    """Evaluate a prompt of `n_prefill` tokens and after it `n_steps` steps of one row and as many of `FEW`.

    As many tokens again lie beside them in another sequence, as parked prefixes do on a server: without flash attention
    every row reads them too. Medians of the steps. The context needs two sequences; its memory is emptied.
    Raises `LlamaError` if llama.cpp fails.
    """
    bench = _Bench(context)
    try:
        bench.prompt(n_prefill)
        bench.change_sequence()
        prefill = n_prefill / bench.prompt(n_prefill)
        ones = [bench.step(1) for _ in range(n_steps)]
        fives = [bench.step(FEW) for _ in range(n_steps)]
    finally:
        bench.close()
    return Rates(prefill, 1.0 / statistics.median(ones), FEW / statistics.median(fives))


def measure_steps(context: Context, sizes: Sequence[int], budget_s: float) -> dict[int, float]:
    """The seconds of a step of each size, smallest first, until `budget_s` are spent; each is evaluated twice.

    The quicker one counts: the first of its size allocates. Empties the context's memory.
    """
    bench = _Bench(context)
    found: dict[int, float] = {}
    begun = time.perf_counter()
    try:
        for size in sorted(size for size in sizes if size <= context.n_batch):
            found[size] = min(bench.step(size), bench.step(size))
            if time.perf_counter() - begun > budget_s:
                break
    finally:
        bench.close()
    return found


class _Bench:
    """Evaluates nonsense in sequence 0, or then in sequence 1, step after step."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._batch = Batch(context.n_batch, context.n_seq_max, context.n_vocab)
        self._tokens: NDArray[np.int32] = np.arange(context.n_ctx, dtype=np.int32) % min(context.n_vocab, 1000)
        self._at = self._sequence = 0
        context.clear()

    def prompt(self, n: int) -> float:
        """Seconds that `n` tokens take, as many at once as may be."""
        return sum(self.step(size) for size in _chunks(n, self._context.n_batch))

    def change_sequence(self) -> None:
        """Begin another one, and leave what is there."""
        self._at, self._sequence = 0, 1

    def step(self, n: int) -> float:
        """Seconds that `n` rows take; begins anew where the context ends."""
        if self._at + n > self._context.n_ctx:
            self._context.clear()
            self._at = 0
        self._batch.clear()
        self._batch.add(self._tokens[self._at : self._at + n], self._at, self._sequence, wants_logits=True)
        begun = time.perf_counter()
        self._context.decode(self._batch)
        self._at += n
        return time.perf_counter() - begun

    def close(self) -> None:
        self._batch.close()
        self._context.clear()


def _chunks(n: int, size: int) -> Iterator[int]:
    while n > 0:
        yield min(n, size)
        n -= size
