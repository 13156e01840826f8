"""The random numbers of C++'s `std::mt19937` and of libstdc++'s distributions over it, to draw the same tasks.

Knows numbers only. numpy has the generator; the two ways in which llama-perplexity makes an index of a number are
written here. Source: the C++ standard, [rand.eng.mers]; libstdc++ `bits/uniform_int_dist.h`.
"""

from __future__ import annotations

import numpy as np

_MASK = 0xFFFFFFFF


class Mersenne:
    """`std::mt19937(seed)`."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)

    def next(self) -> int:
        """A number of 32 bits."""
        return int(self._state.randint(0, 1 << 32, dtype=np.uint32))

    def uniform(self, n: int) -> int:
        """`std::uniform_int_distribution(0, n - 1)`: Lemire's method, which redraws what would be unfair."""
        product = self.next() * n
        if product & _MASK < n:
            threshold = (1 << 32) % n
            while product & _MASK < threshold:
                product = self.next() * n
        return product >> 32

    def scaled(self, n: int) -> int:
        """`int(scale * rng() * n)` in float32 with scale 2^-32, as llama-perplexity draws.

        Rounding can reach `n` itself, where C++ reads past the end; here that is the last index.
        """
        return min(int(np.float32(self.next()) * np.float32(2.0**-32) * np.float32(n)), n - 1)


def draw_in_turn(n: int, n_drawn: int, seed: int = 1) -> list[int]:
    """Indices below `n` without repetition, as HellaSwag's tasks are drawn: each out of those that are left."""
    rng, left = Mersenne(seed), list(range(n))
    return [left.pop(rng.uniform(len(left))) for _ in range(n_drawn)]


def draw_and_swap(n: int, n_drawn: int, seed: int = 1) -> list[int]:
    """Indices below `n` without repetition, as the other tasks are drawn: the last one left fills the gap."""
    rng, left = Mersenne(seed), list(range(n))
    drawn = []
    for _ in range(n_drawn):
        i = rng.scaled(len(left))
        drawn.append(left[i])
        left[i] = left[-1]
        left.pop()
    return drawn
