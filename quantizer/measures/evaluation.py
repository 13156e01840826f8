"""What was measured of one file, and its form in JSON: one field a measure, None for what was not measured.

Knows shapes and a file's form; measures nothing. The law: what is read was written by this program or is refused, and
what is written is strict JSON: where there is no number there is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

from quantizer.errors import DataError
from quantizer.measures.estimate import Estimate
from server.whole_file import whole_file

_Part = TypeVar("_Part")
EVALUATION_SUFFIX = ".evaluation.json"


@dataclass(frozen=True, slots=True)
class MeasuredFile:
    """The file, or the reference: its name and SHA-256; `file_bytes` are those of all its parts."""

    name: str | None = None
    sha256: str | None = None
    file_bytes: int | None = None
    tensor_bytes: int | None = None
    bits_per_weight: float | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class TextResult:
    """Perplexity, and with a reference divergence, over chunks of a text.

    `tokens` is a hash of the chunks, `text_sha256` one of the text that they are of; it is None for llama.cpp's file of
    logits. `not_finite` positions have no number. `kld_by_chunk` is None for a chunk that has none at all.
    """

    n_ctx: int
    n_chunk: int
    n_scored: int
    tokens: str
    name: str | None = None
    text_sha256: str | None = None
    not_finite: int = 0
    estimates: Mapping[str, Estimate | None] = field(default_factory=dict)
    kld_by_chunk: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """Divergence where calls are decided: `decisions` of the `tokens` of `calls`."""

    calls: int
    decisions: int
    tokens: int | None = None
    family: str | None = None
    not_finite: int = 0
    estimates: Mapping[str, Estimate | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """A benchmark's score over the `n` tasks that have one; `interval` is Wilson's, 95 %."""

    accuracy: float | None
    error: float | None
    n: int
    interval: tuple[float, float] | None = None
    chance: float | None = None
    not_finite: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallResult:
    """Cases asked of a server, `n` of which have an answer; `by_category` has how many are right, and how many all."""

    accuracy: float | None
    error: float | None
    n: int
    not_finite: int = 0
    by_category: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    results: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class SpeedResult:
    """`quantizer.measures.speed.Speed`, and the processor that it was measured on, as that calls itself."""

    prefill: float
    decode: float
    peak_bytes: int
    n_threads: int
    n_prompt: int
    n_decode: int
    load_s: float | None = None
    cpu: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything measured of `model`, held against `reference` if there is one; tasks by `kind:file`.

    `keys` has, by measure, a hash of all that it was made from; `conventions` how each number was made.
    """

    model: MeasuredFile = field(default_factory=MeasuredFile)
    reference: MeasuredFile | None = None
    text: TextResult | None = None
    decisions: DecisionResult | None = None
    tasks: Mapping[str, TaskResult] = field(default_factory=dict)
    tool_calls: ToolCallResult | None = None
    speed: SpeedResult | None = None
    conventions: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def not_finite(self) -> Mapping[str, int]:
        """By measure, how many of its positions have no number; only where there are some."""
        found = {"text": self.text, "decisions": self.decisions, "tool calls": self.tool_calls, **self.tasks}
        return {name: part.not_finite for name, part in found.items() if part is not None and part.not_finite}

    def to_json(self) -> dict[str, Any]:
        """JSON's types; estimates stand among the other fields of their measure."""
        return {
            "reference": self.reference and {"name": self.reference.name, "sha256": self.reference.sha256},
            "model": asdict(self.model),
            **{name: _flat(part) for name in ("text", "decisions") if (part := getattr(self, name)) is not None},
            "tasks": {name: asdict(task) for name, task in self.tasks.items()},
            **({"tool_calls": asdict(self.tool_calls)} if self.tool_calls else {}),
            **({"speed": asdict(self.speed)} if self.speed else {}),
            "conventions": dict(self.conventions),
            "keys": dict(self.keys),
        }

    @classmethod
    def from_json(cls, found: object) -> Self:
        """An evaluation of `to_json`'s form, also one from before fields were added. Raises `ValueError`."""
        if not isinstance(found, dict):
            raise ValueError("it is no object")  # noqa: TRY004  whoever reads a file asks for one kind of error
        try:
            return cls(
                model=_part(MeasuredFile, found["model"]),
                reference=_maybe(MeasuredFile, found.get("reference")),
                text=_maybe(TextResult, found.get("text")),
                decisions=_maybe(DecisionResult, found.get("decisions")),
                tasks={name: _part(TaskResult, task) for name, task in found.get("tasks", {}).items()},
                tool_calls=_maybe(ToolCallResult, found.get("tool_calls")),
                speed=_maybe(SpeedResult, found.get("speed")),
                conventions=dict(found.get("conventions", {})),
                keys=dict(found.get("keys", {})),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__} {error}") from error


def evaluation_path(file: Path) -> Path:
    """Where the evaluation of a file is kept."""
    return file.with_name(file.name.removesuffix(".gguf") + EVALUATION_SUFFIX)


def read_evaluation(path: Path) -> Evaluation:
    """An evaluation as it was written. Raises `DataError` if it is missing or is none."""
    try:
        return Evaluation.from_json(json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant))
    except FileNotFoundError as error:
        name = path.name.removesuffix(EVALUATION_SUFFIX)
        raise DataError(
            f"{path} is missing: make it with `functiongate-quantize evaluate {name}.gguf --reference BASE --json-file "
            f"{path.name}`"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an evaluation: {error} (evaluate the file again)") from error


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write it, whole or not at all. Raises `DataError` if it cannot be written."""
    text = json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write the evaluation {path}: {error.strerror or error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number")


def _flat(part: TextResult | DecisionResult) -> dict[str, Any]:
    found = asdict(part)
    estimates = found.pop("estimates")
    by_chunk = {"kld_by_chunk": list(chunks)} if (chunks := found.pop("kld_by_chunk", ())) else {}
    return {**found, **estimates, **by_chunk}


def _maybe(kind: type[_Part], found: Any) -> _Part | None:
    return _part(kind, found) if found else None


def _part(kind: type[_Part], found: Mapping[str, Any]) -> _Part:
    """A part out of its fields; what has a value and errors is an estimate, what it does not know is left out."""
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in found.items() if name in known
    }
    if "estimates" in known:
        others = {name: value for name, value in found.items() if name not in known}
        values["estimates"] = {name: Estimate(**value) if value else None for name, value in others.items()}
    return kind(**values)
