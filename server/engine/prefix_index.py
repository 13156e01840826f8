"""The longest beginning of a prompt that is already in memory.

The seam for a prefix tree: today a vectorised comparison with every resident, which takes microseconds for the
few sequences that a context holds. Knows token arrays only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class PrefixMatch(NamedTuple):
    """The slot whose computed tokens share the first `n` of a prompt; slot None when none does."""

    slot: int | None
    n: int


def longest_prefix(tokens: NDArray[np.int32], residents: Iterable[tuple[int, NDArray[np.int32]]]) -> PrefixMatch:
    """The best match for `tokens` among `(slot, computed tokens)`; of equals, the first.

    At most all tokens but one: the last must be evaluated for its logits.
    """
    best = PrefixMatch(None, 0)
    for slot, computed in residents:
        n = min(common_prefix(tokens, computed), len(tokens) - 1)
        if n > best.n:
            best = PrefixMatch(slot, n)
    return best


def common_prefix(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """The number of equal tokens at the beginning of both."""
    n = min(len(a), len(b))
    if n == 0:
        return 0
    differs = a[:n] != b[:n]
    first = int(differs.argmax())
    return first if differs[first] else n
