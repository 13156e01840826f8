"""A recipe: which type each tensor of any model is to have, and why. Data and a pure function over an inventory.

Knows no file (`recipe_file` reads TOML) and no bytes (`plan` counts them). The law: the first rule that selects a
tensor decides; where none does, bumps along the ladder add up; where none of these does either, the base's own mixture
holds. Tensors that llama.cpp never changes are not asked about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from quantizer.errors import PlanError, RecipeError
from quantizer.model.categories import allows_quantization
from quantizer.model.inventory import Inventory, Tensor
from quantizer.planning.layers import Layers
from quantizer.planning.stock import stock_types
from quantizer.planning.types import FileType
from server.model_files.ggml_types import GgmlType

Statistics = Mapping[str, Mapping[str, float]]
"""Values by statistic and tensor: `{"zd": {"blk.0.attn_k.weight": 0.04}}`."""


class Mixture(StrEnum):
    """What tensors become that no rule selects: the base's stock mixture, or its default type alone."""

    STOCK = "stock"
    PURE = "pure"


class Activations(StrEnum):
    """Whether an imatrix is to be used: a must, if there is one, or not at all."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    UNUSED = "unused"


class OnTrouble(StrEnum):
    """What to do about a tensor that cannot have the type asked for."""

    REFUSE = "refuse"
    SUBSTITUTE = "substitute"


@dataclass(frozen=True, slots=True)
class Scope:
    """What is selected from: the tensors that llama.cpp may change, the count of layers, statistics."""

    tensors: Sequence[Tensor]
    n_layer: int
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Condition:
    """A bound on a statistic, or a rank by it among the tensors of one kind: 0.25 from the top is the upper quarter.

    Ranks compare like with like only: activations of an ffn_down and of an attn_q have nothing to say to each other.
    """

    statistic: str
    relation: str
    bound: float

    def holding(self, tensors: Sequence[Tensor], values: Mapping[str, float]) -> frozenset[str]:
        """The names of those of the tensors that meet it; a tensor without a value does not."""
        known = [tensor for tensor in tensors if tensor.name in values]
        if self.relation in ("above", "below"):
            sign = 1 if self.relation == "above" else -1
            return frozenset(tensor.name for tensor in known if sign * (values[tensor.name] - self.bound) > 0)
        sign = -1 if self.relation == "top" else 1
        names: list[str] = []
        for kind in sorted({tensor.kind for tensor in known}):
            # Equal values are ranked in llama.cpp's order of tensors, so that a plan is always the same.
            ranked = sorted((one for one in known if one.kind == kind), key=lambda one: sign * values[one.name])
            names += [tensor.name for tensor in ranked[: int(self.bound * len(ranked) + 0.5)]]
        return frozenset(names)


@dataclass(frozen=True, slots=True)
class Selector:
    """Selects by kind, by a pattern found in the name, by layers, by a statistic. All that is given must hold."""

    kinds: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    layers: Layers | None = None
    condition: Condition | None = None

    def names(self, tensor: Tensor) -> bool:
        """Whether the tensor is meant by its name; its layer and statistics aside."""
        is_kind = not self.kinds or tensor.kind in self.kinds
        return is_kind and (self.pattern is None or self.pattern.search(tensor.name) is not None)

    def selected(self, scope: Scope) -> frozenset[str]:
        """The names of the selected. Raises `PlanError` if a statistic is asked for that is not there."""
        chosen = [tensor for tensor in scope.tensors if self.names(tensor) and self._in_layers(tensor, scope.n_layer)]
        if self.condition is None:
            return frozenset(tensor.name for tensor in chosen)
        values = scope.statistics.get(self.condition.statistic)
        if values is None:
            known = ", ".join(scope.statistics) or "none"
            raise PlanError(
                f"the recipe asks for the statistic {self.condition.statistic!r}, which is not given (given: {known}); "
                f"compute it from an imatrix of this model"
            )
        return self.condition.holding(chosen, values)

    def _in_layers(self, tensor: Tensor, n_layer: int) -> bool:
        if self.layers is None:
            return True
        return tensor.layer is not None and self.layers.contains(tensor.layer, n_layer)


@dataclass(frozen=True, slots=True)
class Rule:
    """Gives the selected tensors a type; None keeps the type that they have in the source."""

    selector: Selector
    type: GgmlType | None


@dataclass(frozen=True, slots=True)
class Bump:
    """Moves the selected tensors up the ladder; a bump of 0 puts them on its first step."""

    selector: Selector
    steps: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe. `base` is the stock file type that fills in what is not said, and the label in the file.

    `digest` is a SHA-256 of how the recipe was written, as hexadecimal text; empty for one made in Python.
    """

    name: str
    base: FileType
    description: str = ""
    source: str = ""
    mixture: Mixture = Mixture.STOCK
    rules: tuple[Rule, ...] = ()
    ladder: tuple[GgmlType, ...] = ()
    start: GgmlType | None = None
    bumps: tuple[Bump, ...] = ()
    imatrix: Activations = Activations.OPTIONAL
    on_misaligned: OnTrouble = OnTrouble.REFUSE
    on_missing_imatrix: OnTrouble = OnTrouble.REFUSE
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """The type that a recipe wants for a tensor, and which part of the recipe wants it."""

    type: GgmlType
    by: str


def wishes(
    recipe: Recipe, inventory: Inventory, *, has_imatrix: bool, statistics: Statistics | None = None
) -> dict[str, Wish]:
    """What the recipe wants for each tensor that llama.cpp may change, by name, in llama.cpp's order.

    Raises `RecipeError` for a rule that names no tensor of the model, `PlanError` for a statistic that is not given.
    """
    numbers = inventory.hyperparameters
    tensors = [tensor for tensor in inventory.tensors if allows_quantization(tensor, numbers.architecture)]
    scope = Scope(tensors, numbers.n_layer, statistics or {})
    selections = [
        _selection(f"{recipe.name}: rule {index}", rule.selector, scope)
        for index, rule in enumerate(recipe.rules, start=1)
    ]
    climbs = _climbs(recipe, scope)
    based = _based(recipe, inventory, tensors, has_imatrix=has_imatrix)
    found: dict[str, Wish] = {}
    for tensor in tensors:
        index = next((at for at, names in enumerate(selections) if tensor.name in names), None)
        if index is not None:
            found[tensor.name] = Wish(recipe.rules[index].type or tensor.type, f"rule {index + 1}")
        elif tensor.name in climbs:
            found[tensor.name] = _on_ladder(recipe, climbs[tensor.name])
        else:
            found[tensor.name] = Wish(based[tensor.name], f"{recipe.mixture} {recipe.base.name}")
    return found


def _selection(where: str, selector: Selector, scope: Scope) -> frozenset[str]:
    if not any(selector.names(tensor) for tensor in scope.tensors):
        wanted = list(selector.kinds) or (selector.pattern.pattern if selector.pattern else "layers")
        raise RecipeError(f"{where} names no tensor of this model: {wanted}; its kinds are {_kinds(scope)}")
    return selector.selected(scope)


def _climbs(recipe: Recipe, scope: Scope) -> dict[str, int]:
    """Steps up the ladder by tensor: every bump that selects it counts.

    A ladder is for models of any make, so a bump for kinds that this one lacks is passed over; not all of them are.
    """
    steps: dict[str, int] = {}
    for bump in recipe.bumps:
        for name in bump.selector.selected(scope):
            steps[name] = steps.get(name, 0) + bump.steps
    if recipe.bumps and not steps:
        raise RecipeError(f"{recipe.name}: no bump names a tensor of this model; its kinds are {_kinds(scope)}")
    return steps


def _kinds(scope: Scope) -> str:
    return ", ".join(sorted({tensor.kind for tensor in scope.tensors}))


def _on_ladder(recipe: Recipe, steps: int) -> Wish:
    assert recipe.start is not None
    at = recipe.ladder.index(recipe.start) + steps
    return Wish(recipe.ladder[max(0, min(at, len(recipe.ladder) - 1))], f"{recipe.start.name} {steps:+d}")


def _based(
    recipe: Recipe, inventory: Inventory, tensors: Sequence[Tensor], *, has_imatrix: bool
) -> Mapping[str, GgmlType]:
    if recipe.mixture is Mixture.PURE:
        return {tensor.name: recipe.base.default for tensor in tensors}
    return stock_types(inventory, recipe.base, has_imatrix=has_imatrix)
