"""`report`: files that were measured, as tables, plots and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantizer.commands.options import ImatrixOption
from quantizer.imatrix.source import read_imatrix_source
from quantizer.report.build import make_report
from quantizer.report.page import write_report


def report_files(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="What the files were made from.", show_default=False)],
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="GGUF files, NAME.evaluation.json beside each.", show_default=False),
    ],
    *,
    imatrix: ImatrixOption = None,
    title: Annotated[str | None, typer.Option(help="In place of the model's name.")] = None,
    output_dir: Annotated[Path, typer.Option(help="Where the report goes.")] = Path(),
) -> None:
    """Write report.html, report.md, report.json and a model card, README.md."""
    source = read_imatrix_source(imatrix) if imatrix else None
    written = write_report(make_report(base, files, imatrix=source, title=title), output_dir)
    for path in (written.html, written.markdown, written.json, written.card):
        typer.echo(path)
