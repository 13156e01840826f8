"""`quantize` and `dequantize`: recipes carried out, one file after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quantizer.commands.options import (
    AllowRequantizeOption,
    DropDuplicateOption,
    ImatrixOption,
    KeepSplitOption,
    ModelName,
    OnMisalignedOption,
    OnMissingImatrixOption,
    RecipeNames,
    Request,
    StatisticsOption,
    check_folder,
)
from quantizer.commands.tables import size_text
from quantizer.errors import PlanError
from quantizer.planning.plan import Plan
from quantizer.quantize import QuantizedModel, file_name, quantize
from server.model_files.catalogue import CATALOGUE, resolve

OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="The file to write, of one recipe.")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="Threads; 0 for all CPUs that this process may use.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that other plans made.")]


def quantize_model(
    model: ModelName,
    recipes: RecipeNames,
    *,
    imatrix: ImatrixOption = None,
    statistics: StatisticsOption = None,
    on_misaligned: OnMisalignedOption = None,
    on_missing_imatrix: OnMissingImatrixOption = None,
    allow_requantize: AllowRequantizeOption = False,
    keep_split: KeepSplitOption = False,
    drop_duplicate: DropDuplicateOption = False,
    output: OutputOption = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="Where files go; beside the model if not given, here for one of the catalogue.")
    ] = None,
    threads: ThreadsOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Make a file of each recipe. Files that the same plan made before are kept, so that a set can be resumed."""
    path = resolve(model)
    _check_target(output, output_dir)
    request = Request(
        path,
        recipes,
        imatrix=imatrix,
        statistics=statistics,
        on_misaligned=on_misaligned,
        on_missing_imatrix=on_missing_imatrix,
        allow_requantize=allow_requantize,
        keep_split=keep_split,
        drop_duplicate=drop_duplicate,
    )
    plans = request.plans()
    if output is not None and len(plans) != 1:
        raise PlanError(f"--output names one file and these are {len(plans)} recipes: use --output-dir")
    folder = output_dir or _beside(model, path)
    targets = [output or folder / file_name(path, plan.recipe.name) for plan in plans]
    for plan, target in zip(plans, targets, strict=True):
        _report(_make(plan, target, threads, overwrite=overwrite))


def dequantize_model(
    model: ModelName,
    *,
    drop_duplicate: DropDuplicateOption = False,
    output: OutputOption = None,
    threads: ThreadsOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Make a base of F16 from a quantized model, for want of the original. It is marked, and what is made of it too."""
    path = resolve(model)
    _check_target(output, None)
    request = Request(path, ["F16"], allow_requantize=True, drop_duplicate=drop_duplicate)
    (plan,) = request.plans()
    if not plan.dequantized:
        raise PlanError(f"{model} is not quantized: use it as it is")
    target = output or _beside(model, path) / file_name(path, "dequantized-F16")
    _report(_make(plan, target, threads, overwrite=overwrite))


def _beside(model: str, path: Path) -> Path:
    """Where files go that nothing was said of: beside a file that was named; a catalogue's are in a cache."""
    return Path() if model in CATALOGUE or model.startswith("hf:") else path.parent


def _check_target(output: Path | None, output_dir: Path | None) -> None:
    """Raise `DataError` for a place that cannot be written to, before anything is made."""
    if output is not None:
        check_folder(output.parent)
    if output_dir is not None:
        check_folder(output_dir)


def _make(plan: Plan, target: Path, threads: int, *, overwrite: bool) -> QuantizedModel:
    """Make one file under a bar that shows the tensor being converted."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(plan.recipe.name, total=len(plan.tensors))
        return quantize(
            plan,
            target,
            n_threads=threads,
            overwrite=overwrite,
            on_step=lambda step: progress.update(
                task, completed=step.index - 1, description=f"{plan.recipe.name} {step.tensor}"
            ),
        )


def _report(made: QuantizedModel) -> None:
    plan = made.plan
    kept = ", there already" if made.is_kept else ""
    marks = ", quantized twice" if plan.requantized else ""
    substituted = f", {len(plan.substitutions)} tensors with a substitute" if plan.substitutions else ""
    for path in made.paths:
        typer.echo(
            f"{path}: {size_text(path.stat().st_size)}, {plan.bits_per_weight:.3f} bits per weight"
            f"{substituted}{marks}{kept}"
        )
