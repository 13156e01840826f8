"""`evaluate`: what a file lost, as a table on the terminal and a report in JSON."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from quantizer.commands.options import JsonOption, check_writable, print_json
from quantizer.measures.calls.case_files import read_cases, shipped_cases
from quantizer.measures.choice import EvaluationChoice
from quantizer.measures.evaluate import evaluate as measure
from quantizer.measures.measure import Means
from quantizer.measures.text.reference import MAX_BYTES, ReferenceStore
from quantizer.progress import work_bar
from server.machine.cpu import choose_threads
from server.model_files.cache import cache_directory
from server.model_files.catalogue import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantizer.measures.evaluation import Evaluation
    from quantizer.measures.tasks.measure import TaskKind

GIB = 1 << 30
# Shown as percentages, as the model cards do.
_SHARES = frozenset({"rho", "same_top", "decision_same_top"})


def evaluate(  # noqa: PLR0917  typer calls it by name
    model: Annotated[str, typer.Argument(help="The GGUF file to measure, or a catalogue name.")],
    reference: Annotated[str | None, typer.Option(help="The file it is compared with.")] = None,
    text: Annotated[Path | None, typer.Option(help="UTF-8 text. [default: the shipped text]")] = None,
    no_text: Annotated[bool, typer.Option("--no-text", help="Leave perplexity and divergence out.")] = False,
    ctx_size: Annotated[int, typer.Option(min=4, help="Tokens in a chunk.")] = 512,
    chunks: Annotated[int | None, typer.Option(min=1, help="At most so many chunks.")] = None,
    logits: Annotated[Path | None, typer.Option(help="llama-perplexity's file of a reference's logits.")] = None,
    decisions: Annotated[int, typer.Option(min=0, help="Dialogues whose calls' decisions are compared.")] = 0,
    family: Annotated[str | None, typer.Option(help="The model's chat family, if the file does not tell.")] = None,
    hellaswag: Annotated[Path | None, typer.Option(help="HellaSwag's tasks, six lines each.")] = None,
    winogrande: Annotated[Path | None, typer.Option(help="WinoGrande's tasks, CSV.")] = None,
    multiple_choice: Annotated[
        list[Path] | None, typer.Option(help="ARC, MMLU, TruthfulQA: llama.cpp's binary form; may be given often.")
    ] = None,
    tasks: Annotated[int | None, typer.Option(min=1, help="Draw so many of each file's tasks.")] = None,
    tool_calls: Annotated[bool, typer.Option("--tool-calls", help="Serve the file and ask the shipped cases.")] = False,
    cases: Annotated[
        list[Path] | None, typer.Option(help="Cases to ask, ours or BFCL's form; may be given often.")
    ] = None,
    case_count: Annotated[int | None, typer.Option(min=1, help="The first so many cases of each file.")] = None,
    speed: Annotated[bool, typer.Option("--speed", help="Measure tokens a second and peak memory.")] = False,
    as_json: JsonOption = False,
    json_file: Annotated[
        Path | None, typer.Option(help="Keep the report here, in JSON; what it has already is not measured again.")
    ] = None,
    reference_gib: Annotated[float, typer.Option(min=0.01, help="Bound of kept references.")] = MAX_BYTES / GIB,
    threads: Annotated[int, typer.Option(min=0, help="0: as many as this machine bears.")] = 0,
) -> None:
    """Measure a file: perplexity, divergence, decisions, tasks, tool calls, speed."""
    named: list[tuple[TaskKind, Path | None]] = [("hellaswag", hellaswag), ("winogrande", winogrande)]
    named += [("multiple-choice", path) for path in multiple_choice or ()]
    asked = [case for path in cases or () for case in read_cases(path)[:case_count]]
    choice = EvaluationChoice(
        text=text,
        n_ctx=ctx_size,
        max_chunks=chunks,
        logits=logits,
        n_dialogues=decisions,
        family=family,
        tasks=tuple((kind, path) for kind, path in named if path is not None),
        n_tasks=tasks,
        cases=(*(shipped_cases()[:case_count] if tool_calls else ()), *asked),
        with_text=not no_text,
        with_speed=speed,
    )
    if json_file is not None:
        check_writable(json_file)
    found = measure(
        resolve(model),
        None if reference is None else resolve(reference),
        choice.measures(),
        Means(
            store=ReferenceStore(cache_directory() / "references", max_bytes=int(reference_gib * GIB)),
            n_threads=choose_threads(threads),
            bars=partial(work_bar, Console(stderr=True)),
        ),
        json_file,
    )
    if as_json:
        print_json(found.to_json())
    else:
        Console().print(report_table(found))


def report_table(found: Evaluation) -> Table:
    """One number a row, with its error by resampling and, where there is one, by tokens."""
    model = found.model
    title = f"{model.name}: {(model.file_bytes or 0) / 1e6:.1f} MB, {model.bits_per_weight or 0:.3f} bits a weight"
    table = Table(title=title)
    table.add_column("measure")
    for column in ("value", "± by chunks", "± by tokens"):
        table.add_column(column, justify="right")
    for row in _rows(found):
        table.add_row(*row)
    return table


def _rows(found: Evaluation) -> Iterator[tuple[str, str, str, str]]:
    for part in (found.text, found.decisions):
        for name, estimate in part.estimates.items() if part else ():
            shown = partial(_shown, is_share=name in _SHARES or name.startswith("delta_p"))
            if estimate is None:
                yield name, "no number", "", ""
            else:
                yield name, shown(estimate.value), shown(estimate.error), shown(estimate.token_error)
    for name, task in found.tasks.items():
        yield f"{name} ({task.n})", _shown(task.accuracy, is_share=True), "", _shown(task.error, is_share=True)
    if calls := found.tool_calls:
        for category, of in calls.by_category.items():
            yield f"tool calls, {category}", f"{of['right']} of {of['n']}", "", ""
        yield "tool calls", _shown(calls.accuracy, is_share=True), _shown(calls.error, is_share=True), ""
    if speed := found.speed:
        yield "prefill, tokens/s", f"{speed.prefill:.1f}", "", ""
        yield "decode, tokens/s", f"{speed.decode:.1f}", "", ""
        yield "peak memory, MB", f"{speed.peak_bytes / 1e6:.0f}", "", ""
    for name, count in found.not_finite.items():
        yield f"[red]broken: {name} without a number[/red]", str(count), "", ""


def _shown(value: float | None, *, is_share: bool) -> str:
    if value is None:
        return ""
    return f"{value:.3%}" if is_share else f"{value:.6f}"
