"""`stats`: the statistics of an importance matrix, as a table, JSON or a picture."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from quantizer.commands.options import JsonOption, check_writable, print_json
from quantizer.imatrix.file import read_imatrix
from quantizer.imatrix.statistics import layer_statistics, tensor_statistics
from quantizer.imatrix.statistics_plot import plot_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantizer.imatrix.statistics import LayerStatistics, TensorStatistics


def stats(
    imatrix: Annotated[Path, typer.Argument(help="A GGUF or .dat imatrix.")],
    as_json: JsonOption = False,
    plot: Annotated[Path | None, typer.Option(help="Draw a picture too: .svg, .png or .pdf.")] = None,
) -> None:
    """Print what an imatrix says of each tensor and layer."""
    if plot is not None:
        check_writable(plot)
    tensors = tensor_statistics(read_imatrix(imatrix))
    layers = layer_statistics(tensors)
    if plot is not None:
        plot_statistics(plot, tensors, layers)
    if as_json:
        print_json({"tensors": [*map(asdict, tensors)], "layers": [*map(asdict, layers)]})
        return
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a file can be scrolled
    console.print(tensor_table(tensors))
    console.print(layer_table(layers))


def tensor_table(tensors: Sequence[TensorStatistics]) -> Table:
    """One row a tensor, with the columns of the layer-wise model cards."""
    table = Table(title="Mean squared activations of the inputs of each tensor")
    for column in ("Layer", "Tensor"):
        table.add_column(column)
    for column in (
        "Σ(Act²)",
        "Min",
        "Max",
        "μ",
        "\N{GREEK SMALL LETTER SIGMA}",
        "% Active",
        "N",
        "Entropy",
        "E (norm)",
        "ZD",
        "CosSim",
    ):
        table.add_column(column, justify="right")
    for t in tensors:
        table.add_row(
            "-" if t.layer is None else str(t.layer),
            t.kind,
            f"{t.total:.2f}",
            f"{t.minimum:.4f}",
            f"{t.maximum:.4f}",
            f"{t.mean:.2f}",
            f"{t.deviation:.2f}",
            f"{t.active:.2%}",
            str(t.n),
            f"{t.entropy:.4f}",
            f"{t.normalised_entropy:.2%}",
            f"{t.zd:.2%}",
            f"{t.cosine:.4f}",
        )
    return table


def layer_table(layers: Sequence[LayerStatistics]) -> Table:
    """One row a layer."""
    table = Table(title="Per layer, weighted by N")
    for column in ("Layer", "μΣ(Act²)", "μZD", "μCosSim"):
        table.add_column(column, justify="right")
    for layer in layers:
        table.add_row(str(layer.layer), f"{layer.total:.2f}", f"{layer.zd:.4%}", f"{layer.cosine:.4f}")
    return table
