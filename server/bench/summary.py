"""What rounds say: percentiles for one server, paired ratios for two.

Knows numbers. A ratio is taken within each pair of rounds, which ran one after the other on the same machine, and the
median of them is quoted with their range: machines drift, pairs drift together.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.bench.client import Round
    from server.bench.workload import Workload

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Summary:
    """One server's rounds. Times in seconds, rates in tokens or requests a second, by percentile where a dict.

    `wall` is the median round; `steps_a_token` is None where the server does not count; `peak_rss` is in bytes.
    """

    wall: float
    requests: int
    calls: int
    ttft: dict[int, float]
    seconds: dict[int, float]
    itl: dict[int, float]
    worst_gap: float
    tokens_a_second: float
    prompt_tokens: float
    cached_share: float
    completion_tokens: float
    steps_a_token: float | None
    peak_rss: int | None


def summarise(rounds: Sequence[Round], peak_rss: int | None) -> Summary:
    """All requests of all rounds together."""
    samples = [sample for one in rounds for sample in one.samples]
    gaps = [gap for sample in samples for gap in sample.gaps]
    n_prompt = sum(sample.n_prompt for sample in samples)
    steps = [one.steps for one in rounds if one.steps is not None and one.steps[1] > 0]
    n_completion = sum(sample.n_completion for sample in samples)
    return Summary(
        wall=statistics.median(one.seconds for one in rounds),
        requests=len(samples),
        calls=sum(sample.has_call for sample in samples),
        ttft=_percentiles([sample.ttft for sample in samples]),
        seconds=_percentiles([sample.seconds for sample in samples]),
        itl=_percentiles(gaps or [0.0]),
        worst_gap=max(gaps, default=0.0),
        tokens_a_second=n_completion / sum(one.seconds for one in rounds),
        prompt_tokens=n_prompt / len(samples),
        cached_share=sum(sample.n_cached for sample in samples) / n_prompt if n_prompt else 0.0,
        completion_tokens=n_completion / len(samples),
        steps_a_token=sum(s for s, _ in steps) / sum(n for _, n in steps) if steps else None,
        peak_rss=peak_rss,
    )


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours over theirs: the median of the pairs, and the smallest and largest."""

    median: float
    smallest: float
    largest: float


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """The ratio of each pair. Raises `ValueError` unless there are as many of both."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True) if other > 0]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def ratios(ours: Sequence[Round], theirs: Sequence[Round]) -> dict[str, Ratio]:
    """Wall time, time to the first token, and generated tokens a second, of each pair of rounds."""
    return {
        "wall": paired_ratio([one.seconds for one in ours], [one.seconds for one in theirs]),
        "ttft": paired_ratio([_ttft(one) for one in ours], [_ttft(one) for one in theirs]),
        "tokens_a_second": paired_ratio([_rate(one) for one in ours], [_rate(one) for one in theirs]),
    }


def as_json(workload: Workload, summaries: dict[str, Summary], found: dict[str, Ratio]) -> dict[str, Any]:
    """One workload's figures for machines."""
    return {
        "workload": workload.name,
        "title": workload.title,
        "servers": {name: asdict(summary) for name, summary in summaries.items()},
        "ratios": {name: asdict(ratio) for name, ratio in found.items()},
    }


HEAD = (
    "| workload | server | wall | TTFT p50 | p90 | a request p50 | ITL p50 | worst gap | tokens/s | cached "
    "| steps/token | peak RSS |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def as_markdown(workload: Workload, summaries: dict[str, Summary], found: dict[str, Ratio]) -> str:
    """Rows under `HEAD`, one a server, and one of ratios if there are any."""
    rows = [
        f"| {workload.name} | {name} | {one.wall:.2f} s | {one.ttft[50]:.2f} s | {one.ttft[90]:.2f} s "
        f"| {one.seconds[50]:.2f} s | {1000 * one.itl[50]:.0f} ms | {1000 * one.worst_gap:.0f} ms "
        f"| {one.tokens_a_second:.1f} | {100 * one.cached_share:.0f} % "
        f"| {'' if one.steps_a_token is None else f'{one.steps_a_token:.2f}'} "
        f"| {'' if one.peak_rss is None else f'{one.peak_rss / 1e6:.0f} MB'} |"
        for name, one in summaries.items()
    ]
    if found:
        wall, ttft, rate = found["wall"], found["ttft"], found["tokens_a_second"]
        rows.append(
            f"| | **ratio** | **{wall.median:.2f}** ({wall.smallest:.2f} to {wall.largest:.2f}) | {ttft.median:.2f} "
            f"| | | | | {rate.median:.2f} | | | |"
        )
    return "\n".join(rows)


def _percentiles(values: Sequence[float]) -> dict[int, float]:
    return {p: float(np.percentile(values, p)) for p in PERCENTILES}


def _ttft(one: Round) -> float:
    return statistics.median(sample.ttft for sample in one.samples)


def _rate(one: Round) -> float:
    return sum(sample.n_completion for sample in one.samples) / one.seconds
