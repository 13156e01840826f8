"""How long a step takes, learned from steps. Chunks of prompts and drafts are sized by it.

Knows rows and seconds. A row costs less the more rows there are, until the cores are busy; the curve depends on the
model, its types and the machine, so it is kept as measured seconds for some numbers of rows.
"""

from __future__ import annotations

import bisect

SIZES: tuple[int, ...] = (*range(1, 17), 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)
MIN_ROWS = 8  # fewer at a time would never get a prompt done
_GUESS_S = 1 / 200
_LEARNING = 0.3


class Pace:
    """Seconds of steps, by their number of rows."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._sizes: list[int] = []  # those seen, ascending

    def observe(self, n_rows: int, seconds: float) -> None:
        """Learn from a step of `n_rows` of one sequence; more rows than these are known to cost no more each."""
        if n_rows < 1 or seconds <= 0.0:
            return
        size = SIZES[bisect.bisect_right(SIZES, n_rows) - 1]
        measured = seconds * size / n_rows
        known = self._seen.get(size)
        if known is None:
            bisect.insort(self._sizes, size)
            self._seen[size] = measured
        else:
            self._seen[size] = known + _LEARNING * (measured - known)
        # A machine that stalled while many rows were measured would else never be asked for as many again.
        for larger in self._sizes[bisect.bisect_right(self._sizes, size) :]:
            self._seen[larger] = min(self._seen[larger], self._seen[size] * larger / size)

    def seconds(self, n_rows: int) -> float:
        """Seconds of a step of `n_rows`: interpolated between sizes seen; beyond them at the nearest's cost a row."""
        if not self._sizes:
            return n_rows * _GUESS_S
        i = bisect.bisect_left(self._sizes, n_rows)
        if i == 0:
            # Fewer rows than ever seen are no cheaper than their part, and rarely much dearer.
            return self._seen[self._sizes[0]] * n_rows / self._sizes[0]
        below = self._sizes[i - 1]
        if i == len(self._sizes):
            return self._seen[below] * n_rows / below
        above = self._sizes[i]
        part = (n_rows - below) / (above - below)
        return self._seen[below] + part * (self._seen[above] - self._seen[below])

    def rows(self, seconds: float) -> int:
        """The most rows that `seconds` suffice for; at least `MIN_ROWS`."""
        low, high = MIN_ROWS, SIZES[-1]
        if self.seconds(high) <= seconds:
            return high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.seconds(middle) <= seconds else (low, middle)
        return low
