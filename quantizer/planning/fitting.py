"""Makes what a recipe wishes possible: rows that fit, activations where they are needed, a substitute or a refusal.

Knows tensors one at a time; whether a model may be quantized at all is the plan's. The law: nothing is substituted
that the recipe does not allow, and every substitute is remembered with its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from quantizer.errors import PlanError
from quantizer.model.categories import is_embedding_or_output
from quantizer.model.inventory import Tensor
from quantizer.model.layout import tensor_bytes
from quantizer.planning.recipe import OnTrouble, Recipe, Wish
from quantizer.planning.types import ABORT_WITHOUT_IMATRIX, REQUIRE_IMATRIX, TARGETS, WITHOUT_IMATRIX, fallback, fits
from server.model_files.ggml_types import GgmlType

_LISTED = 3  # tensors named in a refusal, before "and 200 more"


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """One tensor of the file to be: its type and which part of the recipe, or which necessity, chose it."""

    tensor: Tensor
    type: GgmlType
    by: str

    @property
    def size_bytes(self) -> int:
        """Length of its data to be."""
        return tensor_bytes(self.tensor, self.type)

    @property
    def is_changed(self) -> bool:
        """Whether it will be of another type than in the source."""
        return self.type != self.tensor.type


@dataclass(frozen=True, slots=True)
class Substitution:
    """A tensor that cannot have the type asked for, what it gets, and why."""

    tensor: str
    asked: GgmlType
    got: GgmlType
    why: str


class _Problem(NamedTuple):
    tensor: Tensor
    asked: GgmlType
    got: GgmlType | None
    why: str


class Fitter:
    """Makes wishes possible, one tensor after the other, and remembers what it had to refuse."""

    def __init__(self, recipe: Recipe, weighted: Collection[str]) -> None:
        self.substitutions: list[Substitution] = []
        self._recipe = recipe
        self._weighted = weighted
        self._misaligned: list[_Problem] = []
        self._unweighted: list[_Problem] = []

    def fit(self, tensor: Tensor, wish: Wish | None) -> PlannedTensor:
        """The tensor with a type that it can have; without a wish, its own."""
        if wish is None or wish.type == tensor.type:
            return PlannedTensor(tensor, tensor.type, wish.by if wish else "left alone")
        if tensor.type.name in ("F64", "I8", "I16", "I32", "I64"):
            raise PlanError(f"{tensor.name} is of type {tensor.type.name}, which llama.cpp cannot convert; keep it")
        kind = self._aligned(tensor, wish.type)
        kind = self._without_activations(tensor, kind)
        return PlannedTensor(tensor, kind, wish.by if kind == wish.type else f"substitute for {wish.type.name}")

    def check(self) -> None:
        """Raise `PlanError` if a tensor could not be fitted and the recipe has no substitutes."""
        for problems, key in ((self._misaligned, "on_misaligned"), (self._unweighted, "on_missing_imatrix")):
            if problems:
                raise PlanError(self._refusal(problems, key))

    def _aligned(self, tensor: Tensor, kind: GgmlType) -> GgmlType:
        if fits(kind, tensor.row_length):
            return kind
        why = f"{tensor.row_length} values a row are not whole blocks of {kind.block}"
        return self._substitute(
            _Problem(tensor, kind, fallback(kind, tensor.row_length), why), self._recipe.on_misaligned, self._misaligned
        )

    def _without_activations(self, tensor: Tensor, kind: GgmlType) -> GgmlType:
        if tensor.name in self._weighted or not self._needs_activations(tensor, kind):
            return kind
        why = f"{kind.name} needs activations and there are none"
        nearest = WITHOUT_IMATRIX.get(kind.name)
        problem = _Problem(tensor, kind, TARGETS[nearest] if nearest else None, why)
        return self._substitute(problem, self._recipe.on_missing_imatrix, self._unweighted)

    def _needs_activations(self, tensor: Tensor, kind: GgmlType) -> bool:
        if is_embedding_or_output(tensor.name):
            return kind.name in ABORT_WITHOUT_IMATRIX
        return kind.name in REQUIRE_IMATRIX or (kind.name == "Q2_K" and self._recipe.base.name == "Q2_K_S")

    def _substitute(self, problem: _Problem, on_trouble: OnTrouble, refused: list[_Problem]) -> GgmlType:
        if problem.got is None or on_trouble is OnTrouble.REFUSE:
            refused.append(problem)
            return problem.asked
        self.substitutions.append(Substitution(problem.tensor.name, problem.asked, problem.got, problem.why))
        return problem.got

    def _refusal(self, problems: Sequence[_Problem], key: str) -> str:
        first = problems[0]
        way_out = "name another type"
        if key == "on_missing_imatrix":
            way_out = f"give --imatrix with these tensors, {way_out}"
        substitute = (
            f', or say {key} = "substitute" to take {first.got.name}' if first.got else " (it has no substitute)"
        )
        alike = [problem.tensor.name for problem in problems if problem.asked == first.asked]
        others = f" ({len(problems) - len(alike)} others have the like)" if len(alike) < len(problems) else ""
        return (
            f"{self._recipe.name}: {listed(alike)} cannot be {first.asked.name}: {first.why}{others}; "
            f"{way_out}{substitute}"
        )


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    first = ", ".join(names[:_LISTED])
    return first if len(names) <= _LISTED else f"{first} and {len(names) - _LISTED} more tensors"
