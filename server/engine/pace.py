"""How long a step takes, learned from steps: what chunks of a prompt are sized by.

Knows rows and seconds. A row costs less the more rows there are, until the cores are busy; the curve depends on the
model, its types and the machine, so it is kept as measured seconds a row for each power of two of rows.
"""

from __future__ import annotations

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
MIN_ROWS = 8  # fewer at a time would never get a prompt done
_GUESS_S = 1 / 200
_LEARNING = 0.3


class Pace:
    """Seconds a row, by the number of rows of a step."""

    def __init__(self) -> None:
        self._seconds_a_row: dict[int, float] = {}

    def observe(self, n_rows: int, seconds: float) -> None:
        """Learn from a step of `n_rows` of one sequence."""
        if n_rows < 1 or seconds <= 0.0:
            return
        size = _size(n_rows)
        known = self._seconds_a_row.get(size)
        measured = seconds / n_rows
        self._seconds_a_row[size] = measured if known is None else known + _LEARNING * (measured - known)

    def seconds(self, n_rows: int) -> float:
        """How long a step of `n_rows` takes, by the nearest size that was seen."""
        return n_rows * self._row(_size(n_rows))

    def rows(self, seconds: float) -> int:
        """The most rows that `seconds` suffice for; at least `MIN_ROWS`."""
        for size in reversed(SIZES):
            n = int(seconds / self._row(size))
            if n >= size:
                return max(MIN_ROWS, min(n, 2 * size - 1))
        return MIN_ROWS

    def _row(self, size: int) -> float:
        if not self._seconds_a_row:
            return _GUESS_S
        # Of two as near, the smaller: its rows are dearer, and a guess should not promise too much.
        nearest = min(self._seconds_a_row, key=lambda seen: (abs(SIZES.index(seen) - SIZES.index(size)), seen))
        return self._seconds_a_row[nearest]


def _size(n_rows: int) -> int:
    return max(size for size in SIZES if size <= n_rows)
