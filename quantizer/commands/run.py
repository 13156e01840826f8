"""`run`: a whole set from one file, stage by stage, as far as it is not done yet."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quantizer.commands.options import check_folder
from quantizer.commands.tables import console, terminal_table
from quantizer.measures.measure import Means
from quantizer.measures.text.reference import MAX_BYTES, ReferenceStore
from quantizer.progress import work_bar
from quantizer.report.tables import report_tables
from quantizer.run import Stage, run
from quantizer.set_file import find_set
from server.machine.cpu import choose_threads
from server.model_files.cache import cache_directory
from server.model_files.catalogue import resolve

GIB = 1 << 30


def run_set(
    name: Annotated[str, typer.Argument(metavar="SET", help="A set's file (my.toml), or a built-in one: smollm2.")],
    *,
    model: Annotated[str | None, typer.Option(help="In place of the set's: a GGUF file or a catalogue name.")] = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="In place of the set's output; the report goes there too.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="0: as many as this machine bears.")] = 0,
    reference_gib: Annotated[float, typer.Option(min=0.01, help="Bound of kept references.")] = MAX_BYTES / GIB,
) -> None:
    """Make and measure a set of files and report on it; what an earlier run did is kept."""
    recipe_set = find_set(name)
    if output_dir is not None:
        recipe_set = replace(recipe_set, output=output_dir, report=output_dir)
    check_folder(recipe_set.output)
    check_folder(recipe_set.report)
    errors = Console(stderr=True)
    means = Means(
        store=ReferenceStore(cache_directory() / "references", max_bytes=int(reference_gib * GIB)),
        n_threads=choose_threads(threads),
        bars=partial(work_bar, errors),
    )

    def tell(stage: Stage) -> None:
        errors.print(f"[{stage.index}/{stage.count}] {stage.what}", markup=False, highlight=False)

    done = run(recipe_set, resolve(model or recipe_set.model), means, on_stage=tell)
    output = console()
    for table in report_tables(done.report):
        output.print(terminal_table(table))
    for path in (done.written.html, done.written.markdown, done.written.json, done.written.card):
        typer.echo(path)
