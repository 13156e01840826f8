"""`plan`: which type every tensor will have and how long the file will be, before anything is made."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quantizer.commands.options import (
    AllowRequantizeOption,
    DropDuplicateOption,
    HeatMapOption,
    ImatrixOption,
    JsonOption,
    KeepSplitOption,
    ModelName,
    OnMisalignedOption,
    OnMissingImatrixOption,
    RecipeNames,
    Request,
    StatisticsOption,
    check_writable,
    print_json,
)
from quantizer.commands.tables import console, group_table, size_text
from quantizer.errors import PlanError
from quantizer.model.groups import grouped
from quantizer.planning.plan import Plan
from quantizer.planning.recipe import Recipe
from quantizer.report.heat_map import draw_heat_map
from server.model_files.catalogue import resolve


def plan_model(
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
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    as_json: JsonOption = False,
    heat_map: HeatMapOption = None,
) -> None:
    """Show what recipes make of a model: types, exact size, bits, and what had to be substituted."""
    if heat_map is not None:
        check_writable(heat_map)
    request = Request(
        resolve(model),
        recipes,
        imatrix=imatrix,
        statistics=statistics,
        on_misaligned=on_misaligned,
        on_missing_imatrix=on_missing_imatrix,
        allow_requantize=allow_requantize,
        keep_split=keep_split,
        drop_duplicate=drop_duplicate,
    )
    tried = list(request.tried())
    if heat_map is not None and len(tried) != 1:
        raise PlanError(f"--heat-map draws one plan, not {len(tried)}: name one recipe")
    plans = [plan for _, plan in tried if isinstance(plan, Plan)]
    if not plans:
        request.plans()  # raises the first one's reason
    if heat_map is not None:
        typed = ((each.tensor, each.type) for each in plans[0].tensors)
        draw_heat_map(typed, f"{plans[0].recipe.name}: {plans[0].bits_per_weight:.2f} bits per weight", heat_map)
    if as_json:
        print_json([plan_json(plan) if isinstance(plan, Plan) else refusal_json(one, plan) for one, plan in tried])
        return
    output = console()
    for recipe, plan in tried:
        if not isinstance(plan, Plan):
            output.print(f"[red]{escape(recipe.name)} does not fit[/red]: {escape(str(plan))}", soft_wrap=True)
            continue
        _print_plan(plan, output)
        if tensors:
            _print_tensors(plan, output)


def refusal_json(recipe: Recipe, reason: Exception) -> dict[str, Any]:
    """What stands in place of a plan for a recipe that does not fit the model."""
    return {"recipe": recipe.name, "base": recipe.base.name, "refused": str(reason)}


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan in JSON's types; sizes in bytes."""
    return {
        "recipe": plan.recipe.name,
        "base": plan.recipe.base.name,
        "size_bytes": plan.size_bytes,
        "file_bytes": list(plan.file_bytes),
        "bits_per_weight": plan.bits_per_weight,
        "groups": [
            {
                "name": group.name,
                "n_tensors": group.n_tensors,
                "size_bytes": group.size_bytes,
                "bits_per_weight": group.bits_per_weight,
                "types": group.types,
            }
            for group in grouped((each.tensor, each.type) for each in plan.tensors)
        ],
        "tensors": {
            each.tensor.name: {"type": each.type.name, "by": each.by, "size_bytes": each.size_bytes}
            for each in plan.tensors
        },
        "substitutions": [
            {"tensor": one.tensor, "asked": one.asked.name, "got": one.got.name, "why": one.why}
            for one in plan.substitutions
        ],
        "unweighted": list(plan.unweighted),
        "requantized": len(plan.requantized),
        "dequantized": len(plan.dequantized),
        "metadata": dict(plan.entries),
    }


def _print_plan(plan: Plan, output: Console) -> None:
    n_values = sum(each.tensor.n_values for each in plan.tensors)
    title = (
        f"{plan.recipe.name}: {plan.size_bytes:,} bytes ({size_text(plan.size_bytes)}), "
        f"{plan.bits_per_weight:.3f} bits per weight"
    )
    output.print(group_table(grouped((each.tensor, each.type) for each in plan.tensors), title, n_values))
    substitutions = Counter((one.asked.name, one.got.name, one.why) for one in plan.substitutions)
    for (asked, got, why), count in substitutions.most_common():
        output.print(f"[yellow]{count} tensors asked for {asked} get {got}[/yellow]: {why}")
    if plan.unweighted:
        output.print(f"[yellow]without activations[/yellow]: {', '.join(plan.unweighted)}")
    if plan.requantized:
        output.print(f"[yellow]quantized twice[/yellow]: {len(plan.requantized)} tensors; the file is marked")


def _print_tensors(plan: Plan, output: Console) -> None:
    table = Table()
    for heading in ("tensor", "shape", "was", "will be", "because of"):
        table.add_column(heading)
    for each in plan.tensors:
        shape = " x ".join(map(str, each.tensor.shape))
        table.add_row(each.tensor.name, shape, each.tensor.type.name, each.type.name, each.by)
    output.print(table)
