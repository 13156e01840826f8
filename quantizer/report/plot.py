"""Where the marks of a report's pictures are: pure geometry in pixels; templates write the SVG.

Knows numbers and names. Own SVG instead of matplotlib's: a report needs no extra then, its text stays text, follows the
reader's colours, and tells its numbers under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from quantizer.report.build import Report, ReportedFile
from quantizer.report.matched_bytes import dominators

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 16, 48
CELL = 14
_CHARACTER = 6.6  # the width of one, at the 11 pixels that labels have
_LINE = 12
_MAX_TICKS = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """One file: where it is, what it tells, whether it is on the front. `label` is None where there is no room."""

    x: float
    y: float
    name: str
    told: str
    kind: str
    label: tuple[float, float, str] | None


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid and what it means."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Quality over size. `front` are the corners of the line that joins the files that no other beats."""

    title: str
    y_label: str
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    front: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Bits by kind and layer: cells as column, row, colour and what they tell."""

    title: str
    kinds: tuple[str, ...]
    n_layers: int
    cells: tuple[tuple[int, int, str, str], ...]


@dataclass(frozen=True, slots=True)
class _Measure:
    title: str
    y_label: str
    value: Callable[[ReportedFile], float | None]
    is_log: bool = False
    more_is_better: bool = False


@dataclass(frozen=True, slots=True)
class _Axis:
    """A scale from values to pixels."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    def at(self, value: float) -> float:
        low, high, here = (math.log(v) if self.is_log else v for v in (self.low, self.high, value))
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self, show: Callable[[float], str]) -> tuple[Tick, ...]:
        values = _decades(self.low, self.high) if self.is_log else _steps(self.low, self.high)
        return tuple(Tick(round(self.at(value), 1), show(value)) for value in values)


def _tool_calls(file: ReportedFile) -> float | None:
    found = None if file.is_broken else file.evaluation.tool_calls
    return 100 * found.accuracy if found and found.accuracy is not None else None


_MEASURES = (
    _Measure("Size and divergence", "KLD, nats a token", lambda f: _estimate(f, "text", "kld"), is_log=True),
    _Measure("Size and perplexity", "perplexity", lambda f: _estimate(f, "text", "ppl"), is_log=True),
    _Measure(
        "Size and decisions of tool calls",
        "KLD, nats a decision",
        lambda f: _estimate(f, "decisions", "decision_kld"),
        is_log=True,
    ),
    _Measure(
        "Size and tool calls that are right",
        "right, %",
        _tool_calls,
        more_is_better=True,
    ),
)


def report_plots(report: Report) -> tuple[Plot, ...]:
    """One plot for each measure that two files have."""
    plots = (_plot(measure, report.files) for measure in _MEASURES)
    return tuple(plot for plot in plots if plot is not None)


def heat_maps(report: Report) -> tuple[HeatMap, ...]:
    """One map for each file that has layers."""
    return tuple(_heat_map(file) for file in report.files if file.bits)


def colour(bits: float) -> str:
    """From dark violet at one bit over green to yellow at sixteen, even on a logarithmic scale."""
    share = min(1.0, max(0.0, math.log2(max(bits, 1.0)) / 4))
    return f"hsl({285 - 230 * share:.0f} {45 + 35 * share:.0f}% {24 + 42 * share:.0f}%)"


def _estimate(file: ReportedFile, part: Literal["text", "decisions"], name: str) -> float | None:
    found = None if file.is_broken else file.measured(part, name)
    return found.value if found else None


def _plot(measure: _Measure, files: Sequence[ReportedFile]) -> Plot | None:
    values = {file.name: value for file in files if (value := measure.value(file)) is not None}
    found = [file for file in files if file.name in values and (values[file.name] > 0 or not measure.is_log)]
    if len(found) < 2:
        return None
    sign = -1 if measure.more_is_better else 1
    beaten = dominators([(file.size_bytes, sign * values[file.name]) for file in found])
    x_axis = _axis([file.size_bytes / 1e6 for file in found], LEFT, WIDTH - RIGHT, is_log=False)
    y_axis = _axis([values[file.name] for file in found], HEIGHT - BOTTOM, TOP, is_log=measure.is_log)
    placed = [
        (file, round(x_axis.at(file.size_bytes / 1e6), 1), round(y_axis.at(values[file.name]), 1)) for file in found
    ]
    labels = _labels([(x, y, file.name) for file, x, y in placed])
    marks = tuple(
        Mark(x, y, file.name, _told(file, values[file.name], measure, found, by), _kind(file, by), label)
        for (file, x, y), by, label in zip(placed, beaten, labels, strict=True)
    )
    on_front = sorted((x, y) for (_, x, y), by in zip(placed, beaten, strict=True) if by is None)
    return Plot(
        measure.title,
        measure.y_label,
        marks,
        x_axis.ticks(lambda value: f"{value:g}"),
        y_axis.ticks(lambda value: f"{value:g}"),
        _stairs(on_front),
    )


def _told(
    file: ReportedFile, value: float, measure: _Measure, files: Sequence[ReportedFile], beaten_by: int | None
) -> str:
    by = f"; beaten by {files[beaten_by].name}" if beaten_by is not None else ""
    return f"{file.name}: {file.size_bytes / 1e6:.1f} MB, {measure.y_label} {value:.6g}{by}"


def _kind(file: ReportedFile, beaten_by: int | None) -> str:
    return f"{'stock' if file.is_stock else 'recipe'}{' dominated' if beaten_by is not None else ''}"


def _stairs(corners: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """From file to file: for the bytes between two there is nothing better than the smaller one."""
    path: list[tuple[float, float]] = []
    for x, y in corners:
        if path:
            path.append((x, path[-1][1]))
        path.append((x, y))
    return tuple(path)


def _axis(values: Sequence[float], start: float, end: float, *, is_log: bool) -> _Axis:
    """A scale with some air around the values; equal values are in the middle."""
    low, high = min(values), max(values)
    if is_log:
        factor = max((high / low) ** 0.06, 1.05)
        return _Axis(low / factor, high * factor, start, end, is_log=True)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return _Axis(low - margin, high + margin, start, end, is_log=False)


def _steps(low: float, high: float) -> list[float]:
    """Round values between two bounds: 1, 2 or 5 times a power of ten apart."""
    power = 10 ** math.floor(math.log10((high - low) / _MAX_TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= _MAX_TICKS)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; evenly spaced values where these are fewer than two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    wide = high / low > 10**3
    found = [
        round(f * 10.0**p, 12) for p in powers for f in ((1,) if wide else (1, 2, 5)) if low <= f * 10.0**p <= high
    ]
    return found if len(found) >= 2 else _steps(low, high)


def _labels(places: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str] | None]:
    """A place for each name beside its mark, where it meets neither an earlier name nor a mark; else none."""
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y, _ in places]
    found: list[tuple[float, float, str] | None] = []
    for x, y, name in places:
        width = _CHARACTER * len(name)
        options = (
            (x + 8, y + 4, "start"),
            (x, y - 9, "middle"),
            (x, y + 17, "middle"),
            (x - 8, y + 4, "end"),
            (x + 8, y - 8, "start"),
            (x + 8, y + 16, "start"),
        )
        boxes = ((option, _box(option, width)) for option in options)
        free = next(((option, box) for option, box in boxes if _is_free(box, taken)), None)
        found.append(free[0] if free else None)
        taken += [free[1]] if free else []
    return found


def _box(place: tuple[float, float, str], width: float) -> tuple[float, float, float, float]:
    x, y, anchor = place
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return (left, y - _LINE + 3, left + width, y + 3)


def _is_free(box: tuple[float, float, float, float], taken: Sequence[tuple[float, float, float, float]]) -> bool:
    left, top, right, bottom = box
    if left < LEFT or right > WIDTH or top < 0 or bottom > HEIGHT - BOTTOM:
        return False
    return all(right <= other[0] or left >= other[2] or bottom <= other[1] or top >= other[3] for other in taken)


def _heat_map(file: ReportedFile) -> HeatMap:
    bits: Mapping[str, Sequence[float | None]] = file.bits
    cells = tuple(
        (layer, row, colour(value), f"{kind}, layer {layer}: {value:.4g} bits")
        for row, (kind, values) in enumerate(bits.items())
        for layer, value in enumerate(values)
        if value is not None
    )
    title = f"{file.name}: {file.bits_per_weight:.2f} bits per weight"
    return HeatMap(title, tuple(bits), max(map(len, bits.values())), cells)
