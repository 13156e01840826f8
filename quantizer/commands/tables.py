"""Figures as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quantizer.model.groups import Group
    from quantizer.report.tables import Table as ReportTable


def console() -> Console:
    """Standard output, wide enough for a table where it is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=160)


def size_text(size_bytes: int) -> str:
    """A size in MB of 10^6 bytes, as files are listed."""
    return f"{size_bytes / 1e6:,.1f} MB"


def group_table(groups: Iterable[Group], title: str, n_values: int) -> Table:
    """Groups of tensors: how many, which share of the weights, their bits and types."""
    table = Table(title=title, title_justify="left")
    table.add_column("tensors")
    for heading in ("count", "of weights", "size", "bpw"):
        table.add_column(heading, justify="right")
    table.add_column("types")
    for group in groups:
        table.add_row(
            group.name,
            str(group.n_tensors),
            f"{group.n_values / n_values:.1%}",
            size_text(group.size_bytes),
            f"{group.bits_per_weight:.2f}",
            ", ".join(f"{name} x{count}" for name, count in group.types.items()),
        )
    return table


def terminal_table(report_table: ReportTable) -> Table:
    """A table of a report, without its notes; rows that another file beats are dim."""
    table = Table(title=report_table.title, title_justify="left")
    for column in report_table.columns:
        table.add_column(escape(column.title), justify="left" if column.is_text else "right", no_wrap=True)
    for row in report_table.rows:
        table.add_row(*map(escape, row.cells), style="dim" if row.mark == "dominated" else None)
    return table
