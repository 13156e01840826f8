"""How surprised a model is by a text: perplexity, exactly as llama-perplexity computes it.

Knows chunks and logits. Convention: PPL = exp(mean of -ln p) over the second half of each chunk; see `Chunks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantizer.evaluator import Evaluator
from quantizer.measures.estimate import Estimate, bootstrap_errors
from quantizer.measures.text.log_probabilities import RowBlocks, negative_log_likelihood

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quantizer.calibration.chunks import Chunks
    from server.llama.model import Model


@dataclass(frozen=True, slots=True)
class Perplexity:
    """-ln p of every scored token, nats, shape `[n_chunk, n_scored]`. What is no number is no part of a mean."""

    nll: NDArray[np.float64]

    @property
    def n_not_finite(self) -> int:
        """How many positions the model has no numbers for."""
        return int(np.count_nonzero(~np.isfinite(self.nll)))

    def estimate(self) -> Estimate | None:
        """The perplexity, exp(mean -ln p), and its errors; the tokens' is PPL * sqrt(var / (n - 1)).

        None if no position has a number.
        """
        is_finite = np.isfinite(self.nll)
        usable = self.nll[is_finite.any(axis=1)]
        if not usable.size:
            return None

        def measure(chosen: NDArray[np.intp]) -> dict[str, float]:
            rows = usable[chosen]
            return {"ppl": float(np.exp(rows[np.isfinite(rows)].mean()))}

        value = measure(np.arange(len(usable)))["ppl"]
        nll = self.nll[is_finite]
        token_error = value * float(np.sqrt(nll.var() / (nll.size - 1))) if nll.size > 1 else None
        return Estimate(value, bootstrap_errors(measure, len(usable)).get("ppl"), token_error)


def measure_perplexity(
    model: Model,
    chunks: Chunks,
    *,
    n_threads: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Perplexity:
    """Evaluate all chunks. `progress` is called with chunks done and in all."""
    nll = np.empty((chunks.n_chunk, chunks.n_scored))
    scored = slice(chunks.first_scored, chunks.n_ctx - 1)
    with (
        Evaluator(model, n_ctx=chunks.n_ctx, n_outputs=chunks.n_scored, n_threads=n_threads) as evaluator,
        RowBlocks(n_threads) as blocks,
    ):
        for i in range(chunks.n_chunk):
            logits = evaluator.logits(chunks.evaluated(i), scored)
            nll[i] = negative_log_likelihood(logits, chunks.targets(i), blocks)
            progress(i + 1, chunks.n_chunk)
    return Perplexity(nll)
