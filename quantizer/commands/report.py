"""`report`: files that were measured, as tables, plots and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantizer.commands.options import ImatrixOption, check_folder
from quantizer.imatrix.source import read_imatrix_source
from quantizer.report.build import make_report
from quantizer.report.page import write_report
from server.model_files.catalogue import resolve


def report_files(
    base: Annotated[
        str,
        typer.Argument(
            metavar="BASE", help="What the files were made from, or its catalogue name.", show_default=False
        ),
    ],
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="GGUF files, NAME.evaluation.json beside each.", show_default=False),
    ],
    *,
    imatrix: ImatrixOption = None,
    title: Annotated[str | None, typer.Option(help="In place of the model's name.")] = None,
    output_dir: Annotated[Path, typer.Option(help="Where the report goes.")] = Path(),
) -> None:
    """Write report.html, report.md, report.json and a model card, README.md."""
    check_folder(output_dir)
    source = read_imatrix_source(imatrix) if imatrix else None
    written = write_report(
        make_report(resolve(base), [resolve(file) for file in files], imatrix=source, title=title), output_dir
    )
    for path in (written.html, written.markdown, written.json, written.card):
        typer.echo(path)
