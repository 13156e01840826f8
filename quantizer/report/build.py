"""A set of files as one report: what each is, what it lost, and which of them is worth its bytes.

Knows heads of files and their evaluations, which lie beside them as `NAME.evaluation.json`; measures nothing. How it
looks is `quantizer.report.page`'s matter. The law: nothing is said of a file that its head or its evaluation does not
say, and files that were not measured alike are not in one report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from quantizer.errors import DataError, PlanError, RecipeError
from quantizer.imatrix.source import ImatrixFile
from quantizer.measures.estimate import Estimate
from quantizer.measures.evaluation import Evaluation, TextResult, evaluation_path, read_evaluation
from quantizer.model.inventory import Inventory, read_inventory
from quantizer.planning.plan import Plan, make_plan
from quantizer.planning.provenance import DEQUANTIZED_KEY, REQUANTIZED_KEY
from quantizer.planning.recipe_file import builtin_recipes
from quantizer.planning.types import FILE_TYPES
from quantizer.report.heat_map import bits_by_layer
from quantizer.report.matched_bytes import MatchedBytes, Point, compare, dominators
from server.version import functiongate_version


@dataclass(frozen=True, slots=True)
class ReportedFile:
    """One file. `name` is its recipe's, `label` its stock file type's; `naive_bytes` the size of the stock recipe.

    `bits` has bits per weight by kind, one value for each layer, None where a layer has no such tensor.
    `calibrated_on` are the texts that its imatrix was collected on: hashes as far as the imatrix tells, else names.
    """

    name: str
    path: Path
    label: str | None
    size_bytes: int
    bits_per_weight: float
    naive_bytes: int | None
    is_stock: bool
    is_requantized: bool
    bits: Mapping[str, tuple[float | None, ...]]
    calibrated_on: tuple[str, ...]
    evaluation: Evaluation

    @property
    def shrinkage(self) -> float | None:
        """How much smaller it is than the stock file of its label, as a share; below 0 if it is bigger."""
        return 1 - self.size_bytes / self.naive_bytes if self.naive_bytes else None

    @property
    def is_measured_on_its_calibration(self) -> bool:
        """Whether the text that it was measured on is one that its imatrix was collected on."""
        text = self.evaluation.text
        return text is not None and bool({text.text_sha256, text.name} & {*self.calibrated_on})

    @property
    def accuracy(self) -> Estimate | None:
        """The reference's perplexity over the file's, the "accuracy" of model cards, as a share."""
        ppl, base = self.measured("text", "ppl"), self.measured("text", "ppl_base")
        if ppl is None:
            return None
        return Estimate(base.value / ppl.value) if base is not None else Estimate(1.0)

    def measured(self, part: Literal["text", "decisions"], name: str) -> Estimate | None:
        """A number of the evaluation, `("text", "kld")` for example; None if it was not measured or is none."""
        found = self.evaluation.text if part == "text" else self.evaluation.decisions
        return found.estimates.get(name) if found else None

    @property
    def is_broken(self) -> bool:
        """Whether some of its logits are no numbers."""
        return bool(self.evaluation.not_finite)


@dataclass(frozen=True, slots=True)
class Report:
    """All files of a set, smallest first. `base_was` tells the types that the base was dequantized from, if it was.

    `dominated` has, by name, the file that is no larger and loses less; `matched` every recipe that is no stock one.
    """

    title: str
    base: ReportedFile
    base_was: str | None
    files: tuple[ReportedFile, ...]
    dominated: Mapping[str, str]
    matched: tuple[MatchedBytes, ...]
    metadata: Mapping[str, str | int | float | bool]

    @property
    def conventions(self) -> Mapping[str, str]:
        """How each number was made, as the evaluations say."""
        files = (self.base, *self.files)
        return {name: said for each in files for name, said in each.evaluation.conventions.items()}

    def as_json(self) -> dict[str, Any]:
        """Everything in it, as JSON's types; numbers are not rounded."""
        return {
            "title": self.title,
            "version": functiongate_version(),
            "base": _file_json(self.base),
            "base_was_quantized": self.base_was,
            "files": [_file_json(each) | {"dominated_by": self.dominated.get(each.name)} for each in self.files],
            "matched_bytes": [asdict(each) for each in self.matched],
            "conventions": dict(self.conventions),
        }


def make_report(
    base: Path,
    files: Sequence[Path],
    *,
    base_evaluation: Path | None = None,
    imatrix: ImatrixFile | None = None,
    title: str | None = None,
) -> Report:
    """The report on files that were made from `base`, each with its evaluation beside it.

    The base's may be elsewhere, or missing. `imatrix` is what the stock files' sizes are planned with. Raises
    `DataError` if an evaluation is missing, cannot be read or is of other text than the others; `FileFormatError` for
    what is no GGUF.
    """
    origin = read_inventory(base)
    naive = _NaivePlans(origin, imatrix)
    reported = sorted((_reported(path, naive) for path in files), key=lambda each: (each.size_bytes, each.name))
    if not reported:
        raise DataError("there is no file to report on")
    _check_alike(reported)
    beside = base_evaluation or evaluation_path(base)
    measured = read_evaluation(beside) if beside.exists() else Evaluation()
    if measured.text is None:
        measured = replace(measured, text=_base_text(reported))
    metadata = origin.header.metadata
    was = metadata.get(DEQUANTIZED_KEY)
    return Report(
        title=title or origin.header.name or base.stem,
        base=_file(base.stem, base, origin, measured, None),
        base_was=str(was) if was else _quantized_types(origin),
        files=tuple(reported),
        dominated=_dominated(reported),
        matched=_matched(reported),
        metadata=metadata,
    )


class _NaivePlans:
    """Plans of the stock recipes for one base; each is made once."""

    def __init__(self, base: Inventory, imatrix: ImatrixFile | None) -> None:
        self._base, self.imatrix = base, imatrix
        self._recipes = builtin_recipes()
        self._plans: dict[str, Plan | None] = {}

    def get(self, label: str) -> Plan | None:
        """The plan of the stock recipe of that label; None if llama.cpp could not make it from this base."""
        if label not in self._plans:
            try:
                recipe = self._recipes[label]
                self._plans[label] = make_plan(recipe, self._base, imatrix=self.imatrix, allow_requantize=True)
            except (KeyError, PlanError, RecipeError):
                self._plans[label] = None
        return self._plans[label]

    def is_stock(self, inventory: Inventory, label: str) -> bool:
        """Whether a file is what the stock recipe of its label makes: by its recipe, or tensor by tensor."""
        stock, plan = self._recipes.get(label), self.get(label)
        if stock is not None and inventory.header.metadata.get("quantizer.recipe.sha256") == stock.digest:
            return True
        return plan is not None and plan.types == {tensor.name: tensor.type for tensor in inventory.tensors}


def _reported(path: Path, naive: _NaivePlans) -> ReportedFile:
    inventory = read_inventory(path)
    name = inventory.header.metadata.get("quantizer.recipe")
    return _file(str(name or path.stem), path, inventory, read_evaluation(evaluation_path(path)), naive)


def _file(
    name: str, path: Path, inventory: Inventory, evaluation: Evaluation, naive: _NaivePlans | None
) -> ReportedFile:
    label = _label(inventory)
    plan = naive.get(label) if naive and label else None
    data_bytes = sum(tensor.size_bytes for tensor in inventory.tensors)
    kinds, bits = bits_by_layer((tensor, tensor.type) for tensor in inventory.tensors)
    return ReportedFile(
        name=name,
        path=path,
        label=label,
        size_bytes=inventory.size_bytes,
        bits_per_weight=8 * data_bytes / sum(tensor.n_values for tensor in inventory.tensors),
        naive_bytes=plan.size_bytes if plan else None,
        is_stock=bool(naive and label and naive.is_stock(inventory, label)),
        is_requantized=inventory.header.metadata.get(REQUANTIZED_KEY) is True,
        bits={
            kind: tuple(None if np.isnan(value) else float(value) for value in row)
            for kind, row in zip(kinds, bits, strict=True)
        },
        calibrated_on=_calibration(inventory, naive),
        evaluation=evaluation,
    )


def _calibration(inventory: Inventory, naive: _NaivePlans | None) -> tuple[str, ...]:
    metadata = inventory.header.metadata
    imatrix = naive.imatrix if naive else None
    if imatrix is not None and metadata.get("quantizer.imatrix.sha256") == imatrix.sha256:
        return imatrix.texts or imatrix.imatrix.datasets
    first = metadata.get("quantize.imatrix.dataset")  # which is all that llama-quantize tells
    return (first,) if isinstance(first, str) else ()


def _label(inventory: Inventory) -> str | None:
    number = inventory.header.metadata.get("general.file_type")
    return next((each.name for each in FILE_TYPES.values() if each.id == number), None)


def _quantized_types(inventory: Inventory) -> str | None:
    """The types of a base that is quantized itself, None of one that is not."""
    counts: dict[str, int] = {}
    for tensor in inventory.tensors:
        if tensor.type.is_quantized:
            counts[tensor.type.name] = counts.get(tensor.type.name, 0) + 1
    return ", ".join(f"{name} ({count})" for name, count in counts.items()) or None


def _base_text(files: Sequence[ReportedFile]) -> TextResult | None:
    """The base's perplexity, which the evaluation of every file against it tells too."""
    for each in files:
        text = each.evaluation.text
        if text is not None and not text.not_finite and (ppl := text.estimates.get("ppl_base")) is not None:
            return TextResult(text.n_ctx, text.n_chunk, text.n_scored, text.tokens, estimates={"ppl": ppl})
    return None


def _check_alike(files: Sequence[ReportedFile]) -> None:
    """All files must have been measured on one text and against one reference, as far as they were."""
    texts = {each.evaluation.text.tokens: each.name for each in reversed(files) if each.evaluation.text}
    references = {
        each.evaluation.reference.sha256: each.name
        for each in reversed(files)
        if each.evaluation.reference and each.evaluation.reference.sha256
    }
    for what, seen in (("text", texts), ("reference", references)):
        if len(seen) > 1:
            raise DataError(f"{' and '.join(seen.values())} were evaluated with another {what} each: evaluate alike")
    names = [each.name for each in files]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(f"two files are of the recipe {min(twice)}: report on one of them")


def _dominated(files: Sequence[ReportedFile]) -> dict[str, str]:
    points = [point for point in _points(files) if not point.is_broken]
    beaten = dominators([(point.size_bytes, point.kld) for point in points])
    return {point.name: points[by].name for point, by in zip(points, beaten, strict=True) if by is not None}


def _matched(files: Sequence[ReportedFile]) -> tuple[MatchedBytes, ...]:
    stock_names = {each.name for each in files if each.is_stock}
    points = _points(files)
    stock = [point for point in points if point.name in stock_names and not point.is_broken]
    return tuple(compare(point, stock) for point in points if point.name not in stock_names)


def _points(files: Sequence[ReportedFile]) -> list[Point]:
    """Files whose divergence was measured."""
    return [
        Point(each.name, each.size_bytes, each.evaluation.text.kld_by_chunk, each.is_broken)
        for each in files
        if each.evaluation.text and each.evaluation.text.kld_by_chunk
    ]


def _file_json(file: ReportedFile) -> dict[str, Any]:
    accuracy = file.accuracy
    return {
        "name": file.name,
        "file": file.path.name,
        "label": file.label,
        "size_bytes": file.size_bytes,
        "naive_bytes": file.naive_bytes,
        "shrinkage": file.shrinkage,
        "bits_per_weight": file.bits_per_weight,
        "accuracy": accuracy.value if accuracy else None,
        "is_stock": file.is_stock,
        "is_requantized": file.is_requantized,
        "bits": {kind: list(row) for kind, row in file.bits.items()},
        "evaluation": {key: value for key, value in file.evaluation.to_json().items() if key != "conventions"},
    }
