"""How fast a context is: tokens a second in prompts and one at a time.

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
    from server.llama.context import Context


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second: `prefill` many at a time, `decode` one by one."""

    prefill: float
    decode: float

    def seconds(self, n_prefill: int, n_decode: int) -> float:
        """How long so much work takes."""
        return n_prefill / self.prefill + n_decode / self.decode


def measure_rates(context: Context, *, n_prefill: int, n_decode: int) -> Rates:
    """Evaluate `n_prefill` tokens at once and `n_decode` one by one; the median of these counts.

    Empties the context's memory. Raises `LlamaError` if llama.cpp fails.
    """
    n_prefill = min(n_prefill, context.n_batch, context.n_ctx - n_decode)
    tokens = np.arange(n_prefill + n_decode, dtype=np.int32) % min(context.n_vocab, 1000)
    batch = Batch(context.n_batch, 1, context.n_vocab)
    try:
        context.clear()
        first = _timed(context, batch, tokens[:n_prefill], 0)
        rest = [_timed(context, batch, tokens[i : i + 1], i) for i in range(n_prefill, len(tokens))]
    finally:
        batch.close()
        context.clear()
    return Rates(prefill=n_prefill / first, decode=1.0 / statistics.median(rest))


def _timed(context: Context, batch: Batch, tokens: np.ndarray[tuple[int], np.dtype[np.int32]], start: int) -> float:
    batch.clear()
    batch.add(tokens, start, 0, wants_logits=True)
    begun = time.perf_counter()
    context.decode(batch)
    return time.perf_counter() - begun
