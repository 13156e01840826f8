"""`recipes`: which there are, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from quantizer.commands.options import JsonOption, print_json
from quantizer.commands.tables import console
from quantizer.planning.recipe_file import builtin_recipes, read_recipes


def list_recipes(
    file: Annotated[
        Path | None, typer.Argument(help="A recipe file to check and list; the built-in ones if not given.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List recipes: the built-in ones, or those of a file, which is checked by that."""
    found = builtin_recipes() if file is None else read_recipes(file)
    if as_json:
        rows = [
            {
                "name": recipe.name,
                "base": recipe.base.name,
                "mixture": recipe.mixture,
                "imatrix": recipe.imatrix,
                "on_misaligned": recipe.on_misaligned,
                "rules": len(recipe.rules),
                "bumps": len(recipe.bumps),
                "description": recipe.description,
                "source": recipe.source,
            }
            for recipe in found.values()
        ]
        print_json(rows)
        return
    table = Table()
    for heading in ("recipe", "base", "mixture", "imatrix", "description"):
        table.add_column(heading)
    for recipe in found.values():
        table.add_row(recipe.name, recipe.base.name, recipe.mixture, recipe.imatrix, recipe.description)
    console().print(table)
