"""Whether a recipe did anything but buy bytes: files compared at the same size, and which of them no other beats.

Pure. The law: a file is held against what stock files of *its size* lose, never against the stock file of its label.
The line between two stock files is straight in ln(KLD) over bytes, which is how KLD falls with size; stock files that
another stock file beats are no part of it, since to be better than a bad neighbour shows nothing. Errors are of the
difference, over the same chunks for both sides: a hard chunk is hard for all files and says nothing about one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from quantizer.errors import DataError
from quantizer.measures.estimate import bootstrap_errors

# Beyond so many standard errors a difference is one: 95 % of those that are none stay within.
Z = 1.96
# Divergences below it are noise of float32 and have no meaningful logarithm.
KLD_FLOOR = 1e-6


class Verdict(StrEnum):
    """What a file's distance from the stock files' line means."""

    BETTER = "better than its bytes"
    ONLY_BYTES = "only bought bytes"
    WORSE = "only bought bytes, and stock files buy better"
    UNKNOWN = "unknown: one chunk has no error"
    OUTSIDE = "unknown: no stock file on both sides of its size"
    BROKEN = "broken: some of its logits are no numbers"


@dataclass(frozen=True, slots=True)
class Point:
    """A file: its size, and its mean divergence in nats over each chunk. All points have the same chunks.

    A chunk of a broken file, whose logits are not all numbers, may have none.
    """

    name: str
    size_bytes: int
    kld_by_chunk: tuple[float | None, ...]
    is_broken: bool = False

    @property
    def klds(self) -> tuple[float, ...]:
        """Those of the chunks that have one."""
        return tuple(kld for kld in self.kld_by_chunk if kld is not None)

    @property
    def kld(self) -> float:
        """The mean over all chunks, which are of one length. Not of a broken file."""
        return sum(self.klds) / len(self.klds)


@dataclass(frozen=True, slots=True)
class MatchedBytes:
    """A file against the line. `expected` is the line's KLD at its size; `log_ratio` is ln(kld / expected).

    `neighbours` are the names of the stock files that the line joins. `expected` and `log_ratio` are None outside of
    it, `error`, the standard error of `log_ratio`, also where there is one chunk. Of a broken file all are None.
    """

    name: str
    size_bytes: int
    kld: float | None
    neighbours: tuple[str, ...]
    expected: float | None
    log_ratio: float | None
    error: float | None
    verdict: Verdict


def dominators(costs: Sequence[tuple[float, float]]) -> list[int | None]:
    """For each pair of costs the index of one that beats it, the cheapest by the first cost; None on the front.

    To beat is to be no worse in both and better in one. Of equal pairs none beats the other.
    """
    order = sorted(range(len(costs)), key=lambda i: costs[i])
    return [next((i for i in order if _beats(costs[i], each)), None) for each in costs]


def compare(file: Point, stock: Sequence[Point]) -> MatchedBytes:
    """Hold a file against the line of stock files, none of which is broken.

    Raises `DataError` if they were not measured over the same chunks.
    """
    if any(len(point.kld_by_chunk) != len(file.kld_by_chunk) for point in stock):
        raise DataError(f"{file.name} and the stock files were not measured over the same chunks: evaluate them alike")
    if file.is_broken:
        return MatchedBytes(file.name, file.size_bytes, None, (), None, None, None, Verdict.BROKEN)
    beaten = dominators([(point.size_bytes, point.kld) for point in stock])
    front = sorted((p for p, by in zip(stock, beaten, strict=True) if by is None), key=lambda p: p.size_bytes)
    below = next((p for p in reversed(front) if p.size_bytes <= file.size_bytes), None)
    above = next((p for p in front if p.size_bytes >= file.size_bytes), None)
    if below is None or above is None:
        return MatchedBytes(file.name, file.size_bytes, file.kld, (), None, None, None, Verdict.OUTSIDE)
    width = above.size_bytes - below.size_bytes
    share = (file.size_bytes - below.size_bytes) / width if width else 0.0
    rows = np.array([file.klds, below.klds, above.klds], np.float64)

    def log_ratio(chosen: NDArray[np.intp]) -> float:
        logs = np.log(np.maximum(rows[:, chosen].mean(axis=1), KLD_FLOOR))
        return float(logs[0] - (1 - share) * logs[1] - share * logs[2])

    n_chunk = rows.shape[1]
    found = log_ratio(np.arange(n_chunk))
    error = bootstrap_errors(lambda chosen: {"log_ratio": log_ratio(chosen)}, n_chunk).get("log_ratio")
    expected = max(file.kld, KLD_FLOOR) / math.exp(found)
    neighbours = (below.name,) if below is above else (below.name, above.name)
    return MatchedBytes(
        file.name, file.size_bytes, file.kld, neighbours, expected, found, error, _verdict(found, error)
    )


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def _verdict(log_ratio: float, error: float | None) -> Verdict:
    if error is None:
        return Verdict.UNKNOWN
    if log_ratio < -Z * error:
        return Verdict.BETTER
    return Verdict.WORSE if log_ratio > Z * error else Verdict.ONLY_BYTES
