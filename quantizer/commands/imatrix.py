"""`imatrix`: collect an importance matrix, or merge and convert some."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quantizer.calibration.sources import CalibrationChoice, calibration_sources
from quantizer.commands.options import check_writable
from quantizer.errors import DataError
from quantizer.imatrix.collect import collect, merge
from quantizer.imatrix.file import read_imatrix, write_imatrix
from quantizer.progress import work_bar
from server.llama.model import Model
from server.machine.cpu import choose_threads
from server.model_files.catalogue import resolve


def imatrix(  # noqa: PLR0917  typer calls it by name
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write: .gguf, or .dat (legacy).")],
    model: Annotated[
        str | None, typer.Argument(help="A GGUF file or a catalogue name; none merges --add only.")
    ] = None,
    text: Annotated[list[Path] | None, typer.Option(help="A UTF-8 text to calibrate on; may be given often.")] = None,
    shipped: Annotated[bool, typer.Option(help="Calibrate on the shipped text too.")] = True,
    dialogues: Annotated[int, typer.Option(min=0, help="How many tool dialogues to generate.")] = 200,
    family: Annotated[str | None, typer.Option(help="The family whose format the dialogues have.")] = None,
    seed: Annotated[int, typer.Option(help="Of the dialogues.")] = 1,
    parse_special: Annotated[bool, typer.Option(help="Special tokens in plain texts are parsed as such.")] = False,
    ctx_size: Annotated[int, typer.Option(min=4, help="Tokens in a chunk.")] = 512,
    chunks: Annotated[int | None, typer.Option(min=1, help="At most so many chunks of each source.")] = None,
    add: Annotated[list[Path] | None, typer.Option(help="An imatrix to merge with what is collected.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="0: as many as this machine bears.")] = 0,
) -> None:
    """Collect which inputs of each tensor matter, from calibration text."""
    console = Console(stderr=True)
    check_writable(output)
    choice = CalibrationChoice(tuple(text or ()), shipped, dialogues, seed, family, parse_special, ctx_size, chunks)
    choice.check()
    merged = [read_imatrix(path) for path in add or ()]
    if model is not None:
        checkpoint = output.with_name(f"{output.name}.checkpoint")
        with Model(resolve(model)) as weights, work_bar(console, "imatrix") as progress:
            sources = calibration_sources(weights, choice)
            merged.append(
                collect(weights, sources, n_threads=choose_threads(threads), checkpoint=checkpoint, progress=progress)
            )
    if not merged:
        raise DataError("neither a model to collect from nor an imatrix to --add was given")
    result = merged[0] if len(merged) == 1 else merge(merged)
    write_imatrix(output, result)
    console.print(f"{output}: {len(result.entries)} tensors, {result.chunk_count} chunks")
