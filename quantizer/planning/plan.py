"""From a recipe and a model's head to the exact type of every tensor and the exact size of the file.

Reads no weight and loads no model. The law: what llama.cpp would abort on, or do silently, is refused here, or is done
because the recipe says so and is recorded with its reason. Nothing that `quantize` does is decided anywhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from chat_templates import detect_family
from quantizer.errors import PlanError
from quantizer.imatrix.source import ImatrixFile
from quantizer.model.categories import allows_quantization
from quantizer.model.inventory import Inventory
from quantizer.model.layout import ALIGNMENT, Value, file_bytes
from quantizer.planning.fitting import Fitter, PlannedTensor, Substitution, listed
from quantizer.planning.provenance import (
    DEQUANTIZED_KEY,
    PLAN_KEY,
    REQUANTIZED_KEY,
    SOURCE_KEY,
    UNKNOWN_HASH,
    clipped,
    imatrix_entries,
)
from quantizer.planning.recipe import Activations, Recipe, Statistics, wishes
from quantizer.planning.types import FILE_TYPES, IGNORE_IMATRIX, FileType
from server.model_files.ggml_types import GgmlType
from server.version import functiongate_version


@dataclass(frozen=True)
class Plan:
    """What will be made. `tensors` are in llama.cpp's order; `file_bytes` has one length for each file.

    `unweighted` are tensors that will be quantized without activations although an imatrix is there;
    `requantized` those whose source is quantized already, `dequantized` those that were and will no longer be.
    """

    recipe: Recipe
    inventory: Inventory
    imatrix: ImatrixFile | None
    tensors: tuple[PlannedTensor, ...]
    substitutions: tuple[Substitution, ...]
    unweighted: tuple[str, ...]
    requantized: tuple[str, ...]
    dequantized: tuple[str, ...]
    keep_split: bool
    entries: Mapping[str, Value] = field(repr=False)

    @cached_property
    def types(self) -> Mapping[str, GgmlType]:
        """The type of every tensor, by name."""
        return {each.tensor.name: each.type for each in self.tensors}

    @cached_property
    def overrides(self) -> Mapping[str, GgmlType]:
        """The type of every tensor that llama.cpp may change, by name: none of them is left to its own rules."""
        architecture = self.inventory.hyperparameters.architecture
        return {each.tensor.name: each.type for each in self.tensors if allows_quantization(each.tensor, architecture)}

    @cached_property
    def file_bytes(self) -> tuple[int, ...]:
        """The exact length of each file."""
        return file_bytes(self.inventory, self.types, self.entries, keep_split=self.keep_split)

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(self.file_bytes)

    @property
    def bits_per_weight(self) -> float:
        """Bits of tensor data to a value, over all tensors, as llama.cpp reports it."""
        n_values = sum(each.tensor.n_values for each in self.tensors)
        return 8 * sum(each.size_bytes for each in self.tensors) / n_values

    @property
    def native_file_type(self) -> FileType:
        """The file type to call llama.cpp with: it heeds overrides only if the default type is a quantized one."""
        base = self.recipe.base
        if base.default.is_quantized or all(kind == base.default for kind in self.overrides.values()):
            return base
        return FILE_TYPES["Q8_0"]


def make_plan(
    recipe: Recipe,
    inventory: Inventory,
    *,
    imatrix: ImatrixFile | None = None,
    statistics: Statistics | None = None,
    allow_requantize: bool = False,
    keep_split: bool = False,
) -> Plan:
    """The plan for this recipe and model. `keep_split` means nothing for a model in one file.

    Raises `PlanError` if the file cannot be made as asked for, `RecipeError` if a rule names no tensor of the model.
    """
    if recipe.imatrix is Activations.UNUSED:
        imatrix = None
    if recipe.imatrix is Activations.REQUIRED and imatrix is None:
        raise PlanError(f"{recipe.name} is made with activations: give --imatrix, or use a recipe that needs none")
    keep_split = keep_split and len(inventory.paths) > 1
    _check_source(inventory, keep_split=keep_split)
    lengths = _checked_lengths(inventory, imatrix)
    wanted = wishes(recipe, inventory, has_imatrix=imatrix is not None, statistics=statistics)
    fitter = Fitter(recipe, lengths)
    tensors = tuple(fitter.fit(tensor, wanted.get(tensor.name)) for tensor in inventory.tensors)
    fitter.check()
    again = [each for each in tensors if each.is_changed and each.tensor.type.is_quantized]
    if again and not allow_requantize:
        raise PlanError(
            f"{inventory.path} is quantized already ({listed([each.tensor.name for each in again])}), and quantizing "
            f"twice adds the errors of both: start from F16 or BF16, or say --allow-requantize"
        )
    requantized = tuple(each.tensor.name for each in again if each.type.is_quantized)
    dequantized = tuple(each.tensor.name for each in again if not each.type.is_quantized)
    return Plan(
        recipe,
        inventory,
        imatrix,
        tensors,
        tuple(fitter.substitutions),
        _unweighted(tensors, lengths) if imatrix else (),
        requantized,
        dequantized,
        keep_split,
        {**_entries(recipe, inventory, imatrix), **_marks(inventory, requantized, dequantized)},
    )


def _check_source(inventory: Inventory, *, keep_split: bool) -> None:
    alignment = inventory.header.alignment
    if alignment != ALIGNMENT:
        raise PlanError(f"{inventory.path} is aligned to {alignment} bytes; llama.cpp writes with {ALIGNMENT} only")
    if keep_split:
        empty = set(range(1, len(inventory.paths))) - {tensor.part for tensor in inventory.tensors}
        if empty:
            raise PlanError(f"{inventory.paths[min(empty)]} holds no tensor: leave out --keep-split")


def _checked_lengths(inventory: Inventory, imatrix: ImatrixFile | None) -> Mapping[str, int]:
    """Columns of activations by tensor, those of this model alone."""
    if imatrix is None:
        return {}
    found: dict[str, int] = {}
    for tensor in inventory.tensors:
        entry = imatrix.imatrix.entries.get(tensor.name)
        if entry is None:
            continue
        expected = tensor.row_length * tensor.n_matrices
        if entry.sums.size != expected:
            raise PlanError(
                f"{imatrix.file_name} has {entry.sums.size} columns for {tensor.name}, the model has {expected}: "
                f"it was collected from another model"
            )
        found[tensor.name] = expected
    if not found:
        raise PlanError(f"{imatrix.file_name} has no tensor of {inventory.path}: it was collected from another model")
    return found


def _unweighted(tensors: Sequence[PlannedTensor], weighted: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        each.tensor.name
        for each in tensors
        if each.is_changed and each.type.name not in IGNORE_IMATRIX and each.tensor.name not in weighted
    )


def _entries(recipe: Recipe, inventory: Inventory, imatrix: ImatrixFile | None) -> dict[str, Value]:
    """The metadata that will be written; hashes that are not known yet have their length."""
    entries: dict[str, Value] = {
        "general.quantization_version": 2,
        "general.file_type": recipe.base.id,
        "quantizer.version": clipped(functiongate_version()),
        "quantizer.recipe": clipped(recipe.name),
        "quantizer.recipe.sha256": recipe.digest or UNKNOWN_HASH,
        "quantizer.family": clipped(detect_family(inventory.text_metadata).id),
        "quantizer.source.file": clipped(inventory.path.name),
        SOURCE_KEY: UNKNOWN_HASH,
        PLAN_KEY: UNKNOWN_HASH,
    }
    return entries | (imatrix_entries(imatrix) if imatrix else {})


def _marks(inventory: Inventory, requantized: Sequence[str], dequantized: Sequence[str]) -> dict[str, Value]:
    """What a reader of any figure about the file must know: it was not made from the original weights."""
    marks: dict[str, Value] = {}
    if requantized:
        marks[REQUANTIZED_KEY] = True
    if dequantized:
        types = Counter(inventory.by_name[name].type.name for name in dequantized)
        marks[DEQUANTIZED_KEY] = clipped(", ".join(f"{name} ({count})" for name, count in types.most_common()))
    return marks
