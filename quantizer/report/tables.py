"""The tables of a report, those of the model cards among them, as text in cells: ready for Markdown and for HTML alike.

Pure. The law: every column that holds a measured number has a note that says how it was made, and errors stand beside
what they are of. MB are 10^6 bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from quantizer.measures.estimate import Estimate
from quantizer.measures.evaluation import Evaluation, SpeedResult, TaskResult
from quantizer.report.build import Report, ReportedFile
from quantizer.report.matched_bytes import Z

MISSING = "–"  # noqa: RUF001  a dash is what tables have there
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_Part = TypeVar("_Part")
_Show = Callable[[ReportedFile], str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and the note that says how its numbers were made."""

    title: str
    note: str = ""
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Cells in the order of the columns. `mark` is `base`, `dominated`, or empty."""

    cells: tuple[str, ...]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `remark` is a sentence that has to be read with it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    remark: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """The columns' notes, each once; headings refer to them by their number."""
        return tuple(dict.fromkeys(column.note for column in self.columns if column.note))

    @property
    def headings(self) -> tuple[str, ...]:
        """Titles with the numbers of their notes."""
        return tuple(
            column.title + (str(self.notes.index(column.note) + 1).translate(_SUPERSCRIPTS) if column.note else "")
            for column in self.columns
        )

    def markdown(self) -> str:
        """The table as GitHub's Markdown, its title, remark and notes with it."""
        rule = (":--" if column.is_text else "--:" for column in self.columns)
        lines = [self.headings, tuple(rule), *(row.cells for row in self.rows)]
        rows = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        notes = "\n".join(
            f"{str(number).translate(_SUPERSCRIPTS)} {note}  " for number, note in enumerate(self.notes, 1)
        )
        return "\n\n".join(filter(None, (f"### {self.title}", self.remark, rows, notes))) + "\n"


def report_tables(report: Report) -> tuple[Table, ...]:
    """All tables for which anything was measured."""
    tables = (
        _sizes(report),
        _perplexity(report),
        _divergence(report),
        _tool_calls(report),
        _tasks(report),
        _speed(report),
        _matched(report),
        _same_label(report),
    )
    return tuple(table for table in tables if table is not None)


def _sizes(report: Report) -> Table:
    columns: list[tuple[Column, _Show]] = [
        (Column("label", "the stock file type that fills in what a recipe does not say", is_text=True), _label),
        (Column("size, MB", "the whole file"), lambda file: megabytes(file.size_bytes)),
        (
            Column("naive, MB", "the stock recipe of the same label from the same base, planned to the byte"),
            lambda file: megabytes(file.naive_bytes) if file.naive_bytes else MISSING,
        ),
        (Column("shrinkage", "1 - size / naive: below 0 the file is the bigger one"), lambda f: percent(f.shrinkage)),
        (
            Column("bits per weight", "of tensor data, scales included"),
            lambda file: f"{file.bits_per_weight:.3f}",
        ),
        (Column("made as", is_text=True), lambda file: _made_as(report, file)),
    ]
    return _table("Sizes", report, columns)


def _perplexity(report: Report) -> Table | None:
    text = text_note(report)
    if text is None:
        return None
    return _table(
        "Perplexity",
        report,
        [
            (Column("size, MB"), lambda file: megabytes(file.size_bytes)),
            (Column("size, %", "of the base's bytes"), lambda f: percent(f.size_bytes / report.base.size_bytes)),
            (Column("PPL", text), lambda f: _number(f.measured("text", "ppl"), 4)),
            (Column("PPL error", _ERROR_NOTE), lambda f: _error(f.measured("text", "ppl"), 4)),
            (Column("accuracy, %", "100 PPL(base) / PPL"), lambda f: percent(f.accuracy.value if f.accuracy else None)),
        ],
        _warning(report),
    )


def _divergence(report: Report) -> Table | None:
    text = text_note(report)
    if text is None or all(file.measured("text", "kld") is None for file in report.files):
        return None
    columns: list[tuple[Column, _Show]] = [
        (
            Column("ρ", "correlation of ln p with the base's, token by token"),  # noqa: RUF001  the field's letter
            lambda f: percent(_value(f.measured("text", "rho"))),
        ),
        (
            Column("KLD", f"D(base ‖ file), nats a token; {_ERROR_NOTE}"),
            lambda f: with_error(f.measured("text", "kld"), 6),
        ),
        (Column("median KLD", "the same, the middle token's"), lambda f: _number(f.measured("text", "kld_median"), 6)),
        (
            Column("RMS Δp, %", f"of the text's own token; {_ERROR_NOTE}"),
            lambda f: with_error(f.measured("text", "delta_p_rms"), 3, scale=100),
        ),
        (
            Column("same top, %", f"how often the likeliest token is the base's; {_ERROR_NOTE}"),
            lambda f: with_error(f.measured("text", "same_top"), 2, scale=100),
        ),
        (
            Column("beaten by", "a file that is no larger and diverges less", is_text=True),
            lambda f: report.dominated.get(f.name, ""),
        ),
    ]
    return _table(
        "Divergence from the base", report, columns, f"Measured on {text}. {_warning(report)}".rstrip(), with_base=False
    )


def _tool_calls(report: Report) -> Table | None:
    columns: list[tuple[Column, _Show]] = []
    if asked := _first(report, lambda found: found.tool_calls):
        cases = f"{asked.n + asked.not_finite} cases served by `functiongate serve`"
        note = f"{cases}, greedy, `tool_choice` auto; ± for independent cases"
        columns.append((Column("right, %", note), _calls_right))
    if decided := _first(report, lambda found: found.decisions):
        what = f"{decided.decisions} decisions in {decided.calls} teacher-forced calls"
        note = f"{what}; forced syntax weighs nothing, the rest renormalised over what the grammar allows; ± over calls"
        columns += [
            (Column("KLD of decisions", note), lambda f: with_error(f.measured("decisions", "decision_kld"), 6)),
            (
                Column("same decision, %", note),
                lambda f: with_error(f.measured("decisions", "decision_same_top"), 2, scale=100),
            ),
        ]
    return _table("Tool calls", report, columns) if columns else None


def _tasks(report: Report) -> Table | None:
    names = list(dict.fromkeys(name for f in (report.base, *report.files) for name in f.evaluation.tasks))
    if not names:
        return None
    columns: list[tuple[Column, _Show]] = []
    for name in names:
        kind, _, file = name.partition(":")
        note = f"{_tasks_of(report, name)} tasks of {file}; ± sqrt(p (1 - p) / (n - 1))"
        columns.append((Column(Path(file).stem or kind, note), partial(_task, name)))
    columns.append((Column("average", "of the tasks above, their errors taken for independent"), _task_average(names)))
    return _table("Benchmark tasks, %", report, columns)


def _speed(report: Report) -> Table | None:
    speed = _first(report, lambda found: found.speed)
    if speed is None:
        return None
    where = f"{speed.n_threads} threads, {speed.cpu or 'this CPU'}; median of three runs"
    return _table(
        "Speed",
        report,
        [
            (
                Column("prompt, t/s", f"prompts of {speed.n_prompt} tokens, {where}"),
                lambda f: _rate(f, lambda speed: speed.prefill),
            ),
            (
                Column("decode, t/s", f"{speed.n_decode} single tokens, {where}"),
                lambda f: _rate(f, lambda speed: speed.decode),
            ),
            (Column("peak, MB", "resident set of the measuring process"), _peak),
        ],
    )


def _matched(report: Report) -> Table | None:
    if not report.matched:
        return None
    rows = [
        Row(
            (
                each.name,
                megabytes(each.size_bytes),
                f"{each.kld:.6f}" if each.kld is not None else MISSING,
                f"{each.expected:.6f}" if each.expected is not None else MISSING,
                _change(each.log_ratio, each.error),
                " and ".join(each.neighbours) or MISSING,
                each.verdict.value,
            )
        )
        for each in report.matched
    ]
    columns = (
        Column("recipe", is_text=True),
        Column("size, MB"),
        Column("KLD", "nats a token, mean over the same chunks for all files"),
        Column("stock at this size", "interpolated, ln KLD over bytes, between stock files that no other beats"),
        Column("difference", "of the two; 95 % interval by resampling the chunks of both sides together"),
        Column("between", is_text=True),
        Column("verdict", "better only if the whole interval is below 0", is_text=True),
    )
    remark = "The question that the label does not answer: what do stock files of the *same size* lose?"
    return Table("At matched bytes", columns, tuple(rows), remark)


def _same_label(report: Report) -> Table | None:
    stock = {file.label: file for file in report.files if file.is_stock}
    pairs = [(stock[file.label], file) for file in report.files if not file.is_stock and file.label in stock]
    if not pairs:
        return None
    rows = [
        Row(
            (
                naive.label or "",
                file.name,
                *(_number(each.measured("text", "ppl"), 2) for each in (naive, file)),
                _relative(file.measured("text", "ppl"), naive.measured("text", "ppl")),
                *(megabytes(each.size_bytes) for each in (naive, file)),
                f"{(file.size_bytes - naive.size_bytes) / 1e6:+.1f}",
                *(_rate(each, lambda speed: speed.decode) for each in (naive, file)),
            )
        )
        for naive, file in pairs
    ]
    columns = (
        Column("label", is_text=True),
        Column("recipe", is_text=True),
        Column("stock PPL", text_note(report) or ""),
        Column("PPL"),
        Column("Δ PPL"),
        Column("stock MB"),
        Column("MB"),
        Column("Δ MB"),
        Column("stock t/s", "decode; see the table of speed"),
        Column("t/s"),
    )
    remark = (
        "As model cards compare. A larger file *should* be better: the table above says whether it is for its size."
    )
    return Table("Under the same label", columns, tuple(rows), remark)


def _table(
    title: str,
    report: Report,
    columns: Iterable[tuple[Column, _Show]],
    remark: str = "",
    *,
    with_base: bool = True,
) -> Table:
    """One row for each file, and the base's last, as the cards have it."""
    columns = list(columns)
    shown = [(file, "dominated" if file.name in report.dominated else "") for file in report.files]
    shown += [(report.base, "base")] if with_base else []
    rows = (Row((file.name, *(show(file) for _, show in columns)), mark) for file, mark in shown)
    return Table(title, (Column("file", is_text=True), *(column for column, _ in columns)), tuple(rows), remark)


_ERROR_NOTE = "± standard error by resampling chunks"


def text_note(report: Report) -> str | None:
    """On what text perplexity and divergence were measured; None if they were not."""
    text = _first(report, lambda found: found.text)
    if text is None:
        return None
    chunks = f"{text.n_chunk} chunks of {text.n_ctx} tokens, the second half of each scored: {text.n_scored}"
    was = f", itself dequantized from {report.base_was}" if report.base_was else ""
    return f"{chunks} tokens (SHA-256 {text.tokens[:12]}); base {report.base.path.name}{was}"


def _warning(report: Report) -> str:
    said = [
        f"{file.name} is broken: its logits are no numbers at {n} of {file.evaluation.text.n_scored} positions, which "
        f"are in no mean."
        for file in (*report.files, report.base)
        if file.evaluation.text and (n := file.evaluation.text.not_finite)
    ]
    seen = [file.name for file in report.files if file.is_measured_on_its_calibration]
    if seen:
        said.append(_seen(seen))
    return " ".join(said)


def _seen(seen: Sequence[str]) -> str:
    return (
        f"The imatrix of {', '.join(seen)} was collected on this text among others: on text that it has not seen, the "
        "losses are larger. Measure on another text before comparing with files that were made without it."
    )


def megabytes(size_bytes: int) -> str:
    """A size in 10^6 bytes."""
    return f"{size_bytes / 1e6:.1f}"


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return MISSING if share is None else f"{share:.2%}".removesuffix("%")


def with_error(estimate: Estimate | None, digits: int, *, scale: float = 1) -> str:
    """A number and its standard error, if there is one."""
    if estimate is None:
        return MISSING
    error = f" ± {scale * estimate.error:.{digits}f}" if estimate.error is not None else ""
    return f"{scale * estimate.value:.{digits}f}{error}"


def _value(estimate: Estimate | None) -> float | None:
    return estimate.value if estimate else None


def _number(estimate: Estimate | None, digits: int) -> str:
    return f"{estimate.value:.{digits}f}" if estimate else MISSING


def _error(estimate: Estimate | None, digits: int) -> str:
    return f"{estimate.error:.{digits}f}" if estimate and estimate.error is not None else MISSING


def _label(file: ReportedFile) -> str:
    return file.label or MISSING


def _made_as(report: Report, file: ReportedFile) -> str:
    if file is report.base:
        return f"base, dequantized from {report.base_was}" if report.base_was else "base"
    return ("stock" if file.is_stock else "recipe") + (", quantized twice" if file.is_requantized else "")


def _first(report: Report, part: Callable[[Evaluation], _Part | None]) -> _Part | None:
    """A part of the evaluation of the first file that has it: its conventions are all files'."""
    return next((found for f in (*report.files, report.base) if (found := part(f.evaluation)) is not None), None)


def _calls_right(file: ReportedFile) -> str:
    found = file.evaluation.tool_calls
    if found is None or found.accuracy is None:
        return MISSING
    return with_error(Estimate(found.accuracy, found.error), 1, scale=100)


def _tasks_of(report: Report, name: str) -> int:
    found = (f.evaluation.tasks.get(name) for f in (*report.files, report.base))
    return max(task.n + task.not_finite for task in found if task is not None)


def _task(name: str, file: ReportedFile) -> str:
    found = file.evaluation.tasks.get(name)
    if found is None:
        return MISSING
    broken = f" ({found.not_finite} without a number)" if found.not_finite else ""
    return with_error(_share(found), 2, scale=100) + broken


def _share(task: TaskResult) -> Estimate | None:
    return None if task.accuracy is None else Estimate(task.accuracy, task.error)


def _task_average(names: Sequence[str]) -> _Show:
    def show(file: ReportedFile) -> str:
        tasks = [task for name in names if (task := file.evaluation.tasks.get(name))]
        found = [share for task in tasks if not task.not_finite and (share := _share(task))]
        if len(found) < len(names):
            return MISSING
        error = math.sqrt(sum((share.error or 0.0) ** 2 for share in found)) / len(found)
        return with_error(Estimate(sum(share.value for share in found) / len(found), error), 2, scale=100)

    return show


def _rate(file: ReportedFile, rate: Callable[[SpeedResult], float]) -> str:
    found = file.evaluation.speed
    return f"{rate(found):.1f}" if found else MISSING


def _peak(file: ReportedFile) -> str:
    found = file.evaluation.speed
    return f"{1e-6 * found.peak_bytes:.0f}" if found else MISSING


def _relative(new: Estimate | None, old: Estimate | None) -> str:
    return f"{new.value / old.value - 1:+.1%}" if new and old else MISSING


def _change(log_ratio: float | None, error: float | None) -> str:
    """A ratio's change in percent, with its 95 % interval if the error is known."""
    if log_ratio is None:
        return MISSING
    if error is None:
        return f"{math.expm1(log_ratio):+.1%}"
    low, high = (math.expm1(log_ratio + side * Z * error) for side in (-1, 1))
    return f"{math.expm1(log_ratio):+.1%} ({low:+.1%} … {high:+.1%})"
