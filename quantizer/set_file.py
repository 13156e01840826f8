"""Recipe sets in TOML: one model, the recipes to make of it, and how they are calibrated, measured and reported.

Knows the words of a set file; looks at no model. The law: a key that is not known, or a value of another type, is
refused with the file, the table and the key. Paths are taken from the folder of the file, those of a built-in set from
the working directory.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from quantizer.calibration.sources import CalibrationChoice
from quantizer.errors import RecipeError
from quantizer.measures.calls.case_files import Case, read_cases, shipped_cases
from quantizer.measures.choice import EvaluationChoice
from quantizer.measures.tasks.measure import TaskKind
from quantizer.planning.recipe_file import read_toml_text

_TASKS: Mapping[str, TaskKind] = {
    "hellaswag": "hellaswag",
    "winogrande": "winogrande",
    "multiple_choice": "multiple-choice",
}


class WhenQuantized(StrEnum):
    """What to do with a model that is quantized already: make a base of F16 from it, go on with it, or stop."""

    DEQUANTIZE = "dequantize"
    REQUANTIZE = "requantize"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class RecipeSet:
    """What one run makes. `model` is a path, a catalogue name or `hf:…`; `name` begins the files' names.

    `calibration` is None where no imatrix is collected; `imatrix` then may be one that exists. The report is in
    `report`, all else in `output`.
    """

    model: str
    recipes: tuple[str, ...]
    output: Path
    report: Path
    name: str | None = None
    title: str | None = None
    when_quantized: WhenQuantized = WhenQuantized.DEQUANTIZE
    drop_duplicate_embedding: bool = False
    calibration: CalibrationChoice | None = None
    imatrix: Path | None = None
    evaluation: EvaluationChoice = field(default_factory=EvaluationChoice)


def builtin_sets() -> dict[str, str]:
    """The texts of the sets that come with the package, by name."""
    folder = files("quantizer").joinpath("sets")
    entries = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {entry.name.removesuffix(".toml"): entry.read_text("utf-8") for entry in entries}


def find_set(name: str) -> RecipeSet:
    """The set that `name` means: a file (`my.toml`), or a built-in one. Raises `RecipeError` if there is none."""
    if not name.endswith(".toml"):
        known = builtin_sets()
        if name not in known:
            raise RecipeError(f"there is no set {name!r}; one of {', '.join(sorted(known))}, or give a file (my.toml)")
        return read_set(name, known[name], Path())
    path = Path(name)
    return read_set(name, read_toml_text(path, "set of recipes"), path.parent)


def read_set(name: str, text: str, anchor: Path) -> RecipeSet:
    """The set that `text` says; paths in it are relative to `anchor`. Raises `RecipeError`; `DataError` for cases."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name}: {error}") from error
    top = _Table(name, "", tables, anchor)
    base, report = top.table("base") or top.empty("base"), top.table("report") or top.empty("report")
    imatrix, evaluation = top.table("imatrix"), top.table("evaluation") or top.empty("evaluation")
    output = top.path("output") or anchor / Path(name).stem
    found = RecipeSet(
        model=top.model("model"),
        recipes=tuple(str(anchor / one) if ".toml" in one else one for one in top.texts("recipes")),
        output=output,
        report=report.path("folder") or output,
        name=top.text("name"),
        title=report.text("title"),
        when_quantized=base.choice("when_quantized", WhenQuantized, WhenQuantized.DEQUANTIZE),
        drop_duplicate_embedding=base.flag("drop_duplicate_embedding", default=False),
        imatrix=imatrix.path("file") if imatrix else None,
        calibration=_calibration(imatrix) if imatrix and not imatrix.has("file") else None,
        evaluation=_evaluation(evaluation),
    )
    for table in (top, base, report, evaluation, *((imatrix,) if imatrix else ())):
        table.check()
    if not found.recipes:
        top.refuse("recipes", "names none: give one at least")
    return found


def _calibration(table: _Table) -> CalibrationChoice:
    default = CalibrationChoice()
    return CalibrationChoice(
        texts=table.paths("texts"),
        shipped=table.flag("shipped", default=default.shipped),
        n_dialogues=table.count("dialogues", default.n_dialogues, least=0),
        seed=table.count("seed", default.seed, least=0),
        family=table.text("family"),
        parse_special=table.flag("parse_special", default=default.parse_special),
        n_ctx=table.count("ctx_size", default.n_ctx, least=4),
        max_chunks=table.maybe_count("chunks"),
    )


def _evaluation(table: _Table) -> EvaluationChoice:
    default = EvaluationChoice()
    n_cases = table.maybe_count("case_count")
    cases: Sequence[Case] = shipped_cases()[:n_cases] if table.flag("tool_calls", default=False) else ()
    given = [case for path in table.paths("cases") for case in read_cases(path)[:n_cases]]
    return EvaluationChoice(
        text=table.path("text"),
        n_ctx=table.count("ctx_size", default.n_ctx, least=4),
        max_chunks=table.maybe_count("chunks"),
        n_dialogues=table.count("decisions", default.n_dialogues, least=0),
        family=table.text("family"),
        tasks=tuple((kind, path) for key, kind in _TASKS.items() for path in table.paths(key)),
        n_tasks=table.maybe_count("tasks"),
        cases=(*cases, *given),
        with_speed=table.flag("speed", default=False),
    )


class _Table:
    """One table of a file; remembers which keys were asked for, so that others can be refused."""

    def __init__(self, file: str, name: str, values: Mapping[str, Any], anchor: Path) -> None:
        self._file, self._name, self._values, self._anchor = file, name, values, anchor
        self._known: set[str] = set()

    def refuse(self, key: str, what: str) -> NoReturn:
        place = f"[{self._name}] {key}" if self._name else key
        raise RecipeError(f"{self._file}: {place}: {what}")

    def check(self) -> None:
        for key in self._values:
            if key not in self._known:
                self.refuse(key, f"no such key; one of {', '.join(sorted(self._known))}")

    def has(self, key: str) -> bool:
        return key in self._values

    def table(self, key: str) -> _Table | None:
        found = self._get(key, dict, "a table")
        return None if found is None else _Table(self._file, key, found, self._anchor)

    def empty(self, key: str) -> _Table:
        return _Table(self._file, key, {}, self._anchor)

    def text(self, key: str) -> str | None:
        found: str | None = self._get(key, str, "a text")
        return found

    def model(self, key: str) -> str:
        name = self.text(key)
        if not name:
            self.refuse(key, "missing: a GGUF file, a catalogue name or hf:organisation/repository/file.gguf")
        return str(self._anchor / name) if name.endswith(".gguf") and not name.startswith("hf:") else name

    def texts(self, key: str) -> tuple[str, ...]:
        found = self._values.get(key)
        if isinstance(found, str):
            found = [found]
        self._known.add(key)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            self.refuse(key, f"expected texts, not {found!r}")
        return tuple(found)

    def path(self, key: str) -> Path | None:
        found = self.text(key)
        return None if found is None else self._anchor / found

    def paths(self, key: str) -> tuple[Path, ...]:
        return tuple(self._anchor / each for each in self.texts(key))

    def flag(self, key: str, *, default: bool) -> bool:
        found: bool | None = self._get(key, bool, "true or false")
        return default if found is None else found

    def count(self, key: str, default: int, *, least: int) -> int:
        found: int | None = self._get(key, int, "a whole number")
        if found is None:
            return default
        if isinstance(found, bool) or found < least:
            self.refuse(key, f"expected a whole number from {least} on, not {found!r}")
        return found

    def maybe_count(self, key: str) -> int | None:
        return self.count(key, 1, least=1) if self.has(key) else self._get(key, int, "a whole number")

    def choice(self, key: str, options: type[WhenQuantized], default: WhenQuantized) -> WhenQuantized:
        found = self.text(key)
        if found is None:
            return default
        if found not in list(options):
            self.refuse(key, f"{found!r} is none of {', '.join(options)}")
        return options(found)

    def _get(self, key: str, kind: type[Any], what: str) -> Any:
        self._known.add(key)
        found = self._values.get(key)
        if found is not None and not isinstance(found, kind):
            self.refuse(key, f"expected {what}, not {found!r}")
        return found
