"""The measures of tool calls: the decisions inside them, and whole calls through the server."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from quantizer.calibration import generate_dialogues
from quantizer.calibration.model_family import check_family, model_family
from quantizer.errors import DataError, FileFormatError
from quantizer.measures.calls.decisions import (
    ExpectedDecision,
    ForcedCall,
    calls_key,
    decision_counts,
    expected_decisions,
    forced_calls,
    load_expected,
    measure_decisions,
    save_expected,
)
from quantizer.measures.calls.served import score_tool_calls
from quantizer.measures.evaluation import DecisionResult, ToolCallResult
from quantizer.model.hashing import model_sha256
from server.llama.model import Model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from quantizer.measures.calls.case_files import Case
    from quantizer.measures.measure import Means, Subject

# Dialogues for decisions come from a seed that calibration does not use: they are held out.
HELD_OUT_SEED = 20_001


@dataclass(frozen=True, slots=True)
class DecisionMeasure:
    """The decisions in the calls of so many held-out dialogues, in the format of `family`, None for the file's own."""

    n_dialogues: int
    family: str | None = None

    @property
    def name(self) -> str:
        """Its field."""
        return "decisions"

    def depends(self, _means: Means) -> list[Any]:
        """The dialogues themselves: what they are made of may be edited."""
        dialogues = [asdict(dialogue) for dialogue in generate_dialogues(self.n_dialogues, seed=HELD_OUT_SEED)]
        return [hashlib.sha256(json.dumps(dialogues).encode()).hexdigest(), self.family]

    def check(self, reference: Path | None) -> None:
        """Raises `DataError` without a reference, or for a family that there is not."""
        if reference is None:
            raise DataError("decision tokens are compared with a reference: give one (--reference)")
        check_family(self.family)

    def run(self, subject: Subject, means: Means) -> DecisionResult:
        """Raises `QuantizerError` and its kinds."""
        assert subject.reference is not None, "checked"
        with model_family(subject.model, self.family) as family:
            calls = forced_calls(subject.model, family, generate_dialogues(self.n_dialogues, seed=HELD_OUT_SEED))
        expected = _expected(subject.reference, calls, means)
        with means.bars("decisions") as progress:
            found = measure_decisions(subject.model, calls, expected, n_threads=means.n_threads, progress=progress)
        return DecisionResult(
            family=family.id,
            **decision_counts(calls),
            estimates=found.estimates(),
            not_finite=found.n_not_finite,
        )


def _expected(reference: Path, calls: Sequence[ForcedCall], means: Means) -> list[ExpectedDecision]:
    path = means.store.path(f"{model_sha256(reference)[:32]}{calls_key(calls)[:32]}", ".decisions.npz")
    if not means.store.has(path):
        with Model(reference) as weights, means.bars("reference's decisions") as progress:
            found = expected_decisions(weights, calls, n_threads=means.n_threads, progress=progress)
        try:
            save_expected(path, found)
        except OSError as error:
            raise FileFormatError(f"cannot write the decisions {path}: {error.strerror or error}") from error
        means.store.evict(path)
    return load_expected(path)


@dataclass(frozen=True, slots=True)
class ToolCallMeasure:
    """Cases asked of a server of our own for the file."""

    cases: tuple[Case, ...]
    family: str | None = None

    @property
    def name(self) -> str:
        """Its field."""
        return "tool_calls"

    def depends(self, _means: Means) -> list[Any]:
        """The cases."""
        return [[asdict(case) for case in self.cases], self.family]

    def check(self, _reference: Path | None) -> None:
        """Raises `DataError` for a family that there is not."""
        check_family(self.family)

    def run(self, subject: Subject, means: Means) -> ToolCallResult:
        """Raises `QuantizerError` if the server does not start or refuses a case."""
        subject.release()
        with means.bars("tool calls") as progress:
            score = score_tool_calls(
                subject.path, self.cases, n_threads=means.n_threads, family=self.family, progress=progress
            )
        return ToolCallResult(
            accuracy=score.accuracy,
            error=score.error,
            n=len(score.answered),
            not_finite=len(score.results) - len(score.answered),
            by_category={category: {"right": right, "n": n} for category, (right, n) in score.by_category.items()},
            results=tuple(asdict(result) for result in score.results),
        )
