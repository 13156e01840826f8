"""`inspect`: what a model is made of, and what quantizing it would meet."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quantizer.commands.options import HeatMapOption, JsonOption, ModelName, check_writable, print_json
from quantizer.commands.tables import console, group_table, size_text
from quantizer.model.inventory import read_inventory
from quantizer.planning.inspection import Inspection, inspect
from quantizer.report.heat_map import draw_heat_map
from server.model_files.catalogue import resolve

_SHOWN_SUBSTITUTES = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ2_XS", "IQ3_S", "IQ4_XS")
_SHOWN_TEXT = 80


def inspect_model(
    model: ModelName,
    *,
    as_json: JsonOption = False,
    metadata: Annotated[bool, typer.Option("--metadata", help="List the metadata too.")] = False,
    heat_map: HeatMapOption = None,
) -> None:
    """Show a model's tensors, types and bits, and what is odd about it."""
    if heat_map is not None:
        check_writable(heat_map)
    path = resolve(model)
    inventory = read_inventory(path)
    found = inspect(inventory)
    if heat_map is not None:
        title = f"{found.name or path.name}: {found.bits_per_weight:.2f} bits per weight"
        draw_heat_map(((tensor, tensor.type) for tensor in inventory.tensors), title, heat_map)
    if as_json:
        print_json(found.as_json())
        return
    output = console()
    _print_summary(found, output)
    output.print(group_table(found.groups, "By use", found.n_values))
    output.print(group_table(found.kinds, "By kind", found.n_values))
    _print_oddities(found, output)
    if metadata:
        _print_metadata(found, output)


def _print_summary(found: Inspection, output: Console) -> None:
    output.print(f"[bold]{escape(found.name or found.files[0])}[/bold]: {found.architecture}, {found.n_layer} layers")
    files = f"{len(found.files)} files, " if len(found.files) > 1 else ""
    output.print(
        f"{files}{size_text(found.size_bytes)}, {found.n_values / 1e6:,.1f} million weights, "
        f"{found.bits_per_weight:.2f} bits per weight"
    )
    template = "its own chat template" if found.has_template else "no chat template"
    output.print(f"{template}, read as family {found.family}; output {'tied' if found.is_tied else 'of its own'}")


def _print_oddities(found: Inspection, output: Console) -> None:
    for rows in found.misaligned:
        substitutes = ", ".join(
            f"{name} -> {rows.substitutes[name]}" for name in _SHOWN_SUBSTITUTES if name in rows.substitutes
        )
        output.print(
            f"[yellow]rows of {rows.row_length} values[/yellow] are not blocks of 256: {rows.n_tensors} tensors, "
            f"{rows.share:.0%} of the weights ({', '.join(rows.kinds)}); llama.cpp makes {substitutes}"
        )
    if (twice := found.duplicate) is not None:
        output.print(
            f"[yellow]the tied embedding is there twice[/yellow]: token_embd ({twice.embedding_type}) and output "
            f"({twice.output_type}) agree by {twice.cosine:.4f}; --drop-duplicate-embedding keeps the better copy and "
            f"saves {size_text(twice.saved_bytes)}"
        )


def _print_metadata(found: Inspection, output: Console) -> None:
    table = Table(title="Metadata (arrays left out)", title_justify="left")
    table.add_column("key")
    table.add_column("value", no_wrap=True)
    for key, value in found.metadata.items():
        text = str(value).replace("\n", "\\n")
        table.add_row(escape(key), escape(text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}…"))
    output.print(table)
