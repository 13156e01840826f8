"""Log-probabilities out of logits, many rows at once, on all threads.

Knows arrays only. Convention: natural logarithms; float32 per element and float64 sums, as llama-perplexity has them.
Blocks of rows are small enough for a core's cache, and numpy lets go of the interpreter while it computes.
Source: `tools/perplexity/perplexity.cpp` (log_softmax).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_BLOCK_VALUES = 1 << 18  # a megabyte of float32

T = TypeVar("T")


class RowBlocks:
    """Runs a function over blocks of rows of a wide array. A context manager that owns its threads."""

    def __init__(self, n_threads: int) -> None:
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="rows")

    def map(self, function: Callable[[slice], T], n_rows: int, n_columns: int) -> list[T]:
        """`function` of every block, in order of the rows."""
        step = max(1, _BLOCK_VALUES // n_columns)
        return list(self._pool.map(function, [slice(i, min(i + step, n_rows)) for i in range(0, n_rows, step)]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def peak_and_log_sum(logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The largest logit of each row, and ln Σ exp(logit - largest), both `[n_rows]`.

    NaN where a logit is NaN or +inf: a damaged model's. Whoever measures counts those rows.
    """
    with np.errstate(invalid="ignore"):
        peak = logits.max(axis=1)
        exponentials = np.exp(logits - peak[:, None])
        return peak, np.log(exponentials.sum(axis=1, dtype=np.float64))


def negative_log_likelihood(
    logits: NDArray[np.float32], targets: NDArray[np.int32], blocks: RowBlocks
) -> NDArray[np.float64]:
    """-ln p(target) of each row of logits, `[n_rows]`."""

    def one(rows: slice) -> NDArray[np.float64]:
        peak, log_sum = peak_and_log_sum(logits[rows])
        chosen = logits[rows][np.arange(len(peak)), targets[rows]]
        with np.errstate(invalid="ignore"):
            return log_sum - (chosen - peak).astype(np.float64)

    return np.concatenate(blocks.map(one, *logits.shape))
