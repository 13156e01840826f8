"""What `plan` and `quantize` are told alike, and the plans that follow from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from quantizer.errors import DataError, PlanError, QuantizerError, RecipeError
from quantizer.imatrix.source import read_imatrix_source
from quantizer.model.duplicate import without_duplicate
from quantizer.model.inventory import Inventory, read_inventory
from quantizer.planning.plan import Plan, make_plan
from quantizer.planning.recipe import OnTrouble, Recipe, Statistics
from quantizer.planning.recipe_file import find_recipes

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A GGUF file, of a split model the first, or a catalogue name.", show_default=False
    ),
]
RecipeNames = Annotated[
    list[str],
    typer.Argument(
        metavar="RECIPE...",
        help="Built-in recipes, files (my.toml), or one of a file (my.toml:mine).",
        show_default=False,
    ),
]
ImatrixOption = Annotated[Path | None, typer.Option("--imatrix", help="Activations, a GGUF imatrix.")]
StatisticsOption = Annotated[
    Path | None,
    typer.Option(help='Statistics for rules that ask for them, JSON: {"zd": {"blk.0.attn_q.weight": 0.1}}.'),
]
OnMisalignedOption = Annotated[
    OnTrouble | None, typer.Option(help="For rows that a type's blocks do not divide, in place of the recipe's word.")
]
OnMissingImatrixOption = Annotated[
    OnTrouble | None,
    typer.Option(help="For types that need activations there are none of, in place of the recipe's word."),
]
AllowRequantizeOption = Annotated[
    bool, typer.Option("--allow-requantize", help="Quantize what is quantized already; the file is marked.")
]
KeepSplitOption = Annotated[bool, typer.Option("--keep-split", help="As many files as the model has.")]
DropDuplicateOption = Annotated[
    bool,
    typer.Option("--drop-duplicate-embedding", help="Of a tied embedding that is there twice, keep the better copy."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]
HeatMapOption = Annotated[
    Path | None, typer.Option(help="Draw bits by kind and layer to this .png or .svg (needs functiongate[report]).")
]


def print_json(value: object) -> None:
    """Print strict JSON: what a program reads in place of the tables."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def check_writable(*files: Path) -> None:
    """Raise `DataError` for a file that could not be written in the end: before there is anything to write."""
    for file in files:
        if file.is_dir():
            raise DataError(f"{file} is a folder: name a file in it")
        if not file.parent.is_dir():
            raise DataError(f"{file} cannot be written: there is no folder {file.parent} (make it, or name another)")
        if not os.access(file.parent, os.W_OK):
            raise DataError(f"{file} cannot be written: the folder {file.parent} may not be changed by this user")


def check_folder(folder: Path) -> None:
    """Raise `DataError` for a folder in which no file could be written, or that could not be made."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise DataError(f"{folder} is to be a folder, and {there} is a file: name another")
    if not os.access(there, os.W_OK):
        raise DataError(f"nothing can be written to {folder}: {there} may not be changed by this user")


@dataclass(frozen=True, slots=True)
class Request:
    """What to plan, of what, and with which liberties."""

    model: Path
    recipes: Sequence[str]
    imatrix: Path | None = None
    statistics: Path | None = None
    on_misaligned: OnTrouble | None = None
    on_missing_imatrix: OnTrouble | None = None
    allow_requantize: bool = False
    keep_split: bool = False
    drop_duplicate: bool = False

    def plans(self) -> list[Plan]:
        """All plans, in the order of the recipes. Raises what the first recipe that does not fit is refused with."""
        found = []
        for _, plan in self.tried():
            if isinstance(plan, QuantizerError):
                raise plan
            found.append(plan)
        return found

    def tried(self) -> Iterator[tuple[Recipe, Plan | PlanError | RecipeError]]:
        """Each recipe with its plan, or with the reason why it does not fit this model."""
        found = [recipe for name in self.recipes for recipe in find_recipes(name)]
        inventory = self.inventory()
        imatrix = read_imatrix_source(self.imatrix) if self.imatrix else None
        statistics = _statistics(self.statistics) if self.statistics else None
        for recipe in found:
            try:
                plan = make_plan(
                    self._relaxed(recipe),
                    inventory,
                    imatrix=imatrix,
                    statistics=statistics,
                    allow_requantize=self.allow_requantize,
                    keep_split=self.keep_split,
                )
            except (PlanError, RecipeError) as error:
                yield recipe, error
            else:
                yield recipe, plan

    def inventory(self) -> Inventory:
        """The model, without the duplicate if that is wished."""
        inventory = read_inventory(self.model)
        return without_duplicate(inventory) if self.drop_duplicate else inventory

    def _relaxed(self, recipe: Recipe) -> Recipe:
        return replace(
            recipe,
            on_misaligned=self.on_misaligned or recipe.on_misaligned,
            on_missing_imatrix=self.on_missing_imatrix or recipe.on_missing_imatrix,
        )


def _statistics(path: Path) -> Statistics:
    try:
        values: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict) or not all(_is_table(table) for table in values.values()):
        raise DataError(f'{path} is to hold numbers by tensor by statistic: {{"zd": {{"blk.0.attn_q.weight": 0.1}}}}')
    return values


def _is_table(table: object) -> bool:
    return isinstance(table, dict) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in table.values()
    )
