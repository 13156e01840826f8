"""A measured number with what is known of its error.

Knows numbers only. Two errors, because neither says all: `token_error` is llama.cpp's, which takes tokens for
independent and is too small where they are not; `error` resamples whole chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

RESAMPLES = 500
SEED = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """`value`; its standard error by bootstrap over chunks (None with one chunk), and by tokens (None if undefined)."""

    value: float
    error: float | None = None
    token_error: float | None = None


def bootstrap_errors(
    measure: Callable[[NDArray[np.intp]], Mapping[str, float]],
    n_chunk: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, float]:
    """The standard deviation of each measure over resamples of the chunks; empty with fewer than two chunks.

    `measure` is given the numbers of the chunks to take, some of them several times.
    """
    if n_chunk < 2:
        return {}
    rng = np.random.default_rng(seed)
    drawn = [measure(rng.integers(0, n_chunk, n_chunk)) for _ in range(resamples)]
    return {name: float(np.std([sample[name] for sample in drawn], ddof=1)) for name in drawn[0]}
