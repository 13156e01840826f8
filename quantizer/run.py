"""A whole set: base, imatrix, files, evaluations, report; each stage done once, however often the run is started.

Knows the order of stages and what each depends on. The law: what a stage made is named by, or says, a hash of all that
it depends on, and appears whole or not at all; so a run that was killed anywhere is continued by starting it again, and
one with a recipe or a measure added does only what is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from quantizer.calibration.sources import calibration_sources
from quantizer.errors import PlanError
from quantizer.imatrix.collect import collect
from quantizer.imatrix.file import read_imatrix, write_imatrix
from quantizer.imatrix.source import ImatrixFile, read_imatrix_source
from quantizer.imatrix.statistics import recipe_statistics
from quantizer.lock import locked
from quantizer.measures.evaluate import evaluate
from quantizer.measures.evaluation import evaluation_path
from quantizer.measures.measure import Means
from quantizer.model.duplicate import without_duplicate
from quantizer.model.hashing import model_sha256
from quantizer.model.inventory import Inventory, read_inventory
from quantizer.planning.plan import Plan, make_plan
from quantizer.planning.provenance import PLAN_KEY
from quantizer.planning.recipe import Recipe, Statistics
from quantizer.planning.recipe_file import find_recipes
from quantizer.quantize import file_name, quantize
from quantizer.report.build import Report, make_report
from quantizer.report.page import WrittenReport, write_report
from quantizer.set_file import RecipeSet, WhenQuantized
from server.llama.model import Model


@dataclass(frozen=True, slots=True)
class Stage:
    """What is begun: number `index` of `count`, from 1."""

    index: int
    count: int
    what: str


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What a run made, or found made: the base, the files in the order of their recipes, and the report."""

    base: Path
    files: tuple[Path, ...]
    report: Report
    written: WrittenReport


def run(
    recipe_set: RecipeSet, model: Path, means: Means, *, on_stage: Callable[[Stage], None] = lambda _stage: None
) -> FinishedRun:
    """Make and measure everything of a set from `model`, the file that its `model` means.

    Raises `QuantizerError` and its kinds; `PlanError` also if another process runs a set in the same folder.
    """
    _check(recipe_set, model)
    recipes = [recipe for name in recipe_set.recipes for recipe in find_recipes(name)]
    stages = _Stages(3 + 2 * len(recipes) + 1, on_stage)
    with _alone(recipe_set.output):
        stages.begin("base")
        base = _base(recipe_set, model, means.n_threads)
        stages.begin("imatrix")
        imatrix = _imatrix_path(recipe_set, base.path, means)
        plans = _plans(recipe_set, recipes, base, imatrix)
        files = []
        for plan in plans:
            stages.begin(f"quantize {plan.recipe.name}: {plan.size_bytes / 1e6:,.1f} MB")
            target = recipe_set.output / file_name(_named(recipe_set, model), plan.recipe.name)
            files.append(_quantized(plan, target, means.n_threads))
        stages.begin("evaluate the base")
        _evaluate_base(recipe_set, base.path, means)
        for plan, file in zip(plans, files, strict=True):
            stages.begin(f"evaluate {plan.recipe.name}")
            evaluate(file, base.path, recipe_set.evaluation.measures(), means, evaluation_path(file))
        stages.begin("report")
        report = make_report(
            base.path,
            files,
            base_evaluation=_base_evaluation(recipe_set, base.path),
            imatrix=_source(imatrix),
            title=recipe_set.title or recipe_set.name,
        )
        return FinishedRun(base.path, tuple(files), report, write_report(report, recipe_set.report))


def _check(recipe_set: RecipeSet, model: Path) -> None:
    """Raise `QuantizerError` for what would fail late, after hours: texts, tasks, families, an imatrix."""
    for measure in recipe_set.evaluation.measures():
        measure.check(model)
    if recipe_set.calibration is not None:
        recipe_set.calibration.check()
    if recipe_set.imatrix is not None:
        read_imatrix(recipe_set.imatrix)


class _Stages:
    """Counts stages as they begin."""

    def __init__(self, count: int, on_stage: Callable[[Stage], None]) -> None:
        self._count, self._on_stage, self._index = count, on_stage, 0

    def begin(self, what: str) -> None:
        self._index += 1
        self._on_stage(Stage(self._index, self._count, what))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: the lock goes with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".run.lock", f"another run is at work in {folder}; wait for it, or choose another output"):
        yield


def _named(recipe_set: RecipeSet, model: Path) -> Path:
    """The name that files' names begin with, as a model file would be called."""
    return Path(f"{recipe_set.name}.gguf") if recipe_set.name else model


def _base(recipe_set: RecipeSet, model: Path, n_threads: int) -> Inventory:
    """What files are made from: the model itself, or F16 made of it if it is quantized."""
    inventory = read_inventory(model)
    if recipe_set.drop_duplicate_embedding:
        inventory = without_duplicate(inventory)
    is_quantized = any(tensor.type.is_quantized for tensor in inventory.tensors)
    if not is_quantized or recipe_set.when_quantized is not WhenQuantized.DEQUANTIZE:
        return inventory
    (recipe,) = find_recipes("F16")
    plan = make_plan(recipe, inventory, allow_requantize=True)
    target = recipe_set.output / file_name(_named(recipe_set, model), "dequantized-F16")
    return read_inventory(_quantized(plan, target, n_threads))


def _imatrix_path(recipe_set: RecipeSet, base: Path, means: Means) -> Path | None:
    """The imatrix: the one that is named, or one collected now or before, or none."""
    if recipe_set.calibration is None:
        return recipe_set.imatrix
    with Model(base) as weights:
        sources = calibration_sources(weights, recipe_set.calibration)
        parts = (model_sha256(base), weights.library.build_info(), *(chunks.key for _, chunks in sources))
        key = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
        path = recipe_set.output / f"imatrix-{key}.gguf"
        if not path.exists():
            checkpoint = path.with_name(f".{path.name}.checkpoint")
            with means.bars("imatrix") as progress:
                found = collect(weights, sources, n_threads=means.n_threads, checkpoint=checkpoint, progress=progress)
            write_imatrix(path, found)
    return path


def _source(imatrix: Path | None) -> ImatrixFile | None:
    return read_imatrix_source(imatrix) if imatrix else None


def _plans(recipe_set: RecipeSet, recipes: Sequence[Recipe], base: Inventory, imatrix: Path | None) -> list[Plan]:
    """All plans, before any file is made: what cannot be made is told at once."""
    statistics: Statistics | None = recipe_statistics(read_imatrix(imatrix)) if imatrix else None
    source = _source(imatrix)
    names = [recipe.name for recipe in recipes]
    if twice := {name for name in names if names.count(name) > 1}:
        raise PlanError(f"the recipe {min(twice)} is there twice, and both would make one file")
    return [
        make_plan(
            recipe,
            base,
            imatrix=source,
            statistics=statistics,
            allow_requantize=recipe_set.when_quantized is WhenQuantized.REQUANTIZE,
        )
        for recipe in recipes
    ]


def _quantized(plan: Plan, target: Path, n_threads: int) -> Path:
    """Make a file, or keep the one that is there. A file of ours from another plan is replaced, a stranger's is not."""
    is_ours = target.exists() and PLAN_KEY in read_inventory(target).header.metadata
    made = quantize(plan, target, n_threads=n_threads, overwrite=is_ours)
    return made.paths[0]


def _evaluate_base(recipe_set: RecipeSet, base: Path, means: Means) -> None:
    """What is not a comparison with the base: tasks, tool calls, speed. Its perplexity comes with every file's."""
    choice = replace(recipe_set.evaluation, with_text=False, n_dialogues=0)
    if measures := choice.measures():
        evaluate(base, None, measures, means, _base_evaluation(recipe_set, base))


def _base_evaluation(recipe_set: RecipeSet, base: Path) -> Path:
    """In the set's folder: the base may be a file of the user's, elsewhere."""
    return evaluation_path(recipe_set.output / base.name)
