"""What a user may choose to measure, and the measures that follow from it, in the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantizer.measures.calls.case_files import Case
from quantizer.measures.calls.measures import DecisionMeasure, ToolCallMeasure
from quantizer.measures.measure import Measure
from quantizer.measures.speed import SpeedMeasure
from quantizer.measures.tasks.measure import TaskKind, TaskMeasure
from quantizer.measures.text.measure import TextMeasure


@dataclass(frozen=True, slots=True)
class EvaluationChoice:
    """What to measure. `text` None is the shipped text. `n_dialogues` 0: no decisions. `cases` empty: no tool calls.

    `tasks` are kinds and files.
    """

    text: Path | None = None
    n_ctx: int = 512
    max_chunks: int | None = None
    logits: Path | None = None
    n_dialogues: int = 0
    family: str | None = None
    tasks: tuple[tuple[TaskKind, Path], ...] = ()
    n_tasks: int | None = None
    cases: Sequence[Case] = ()
    with_text: bool = True
    with_speed: bool = False

    def measures(self) -> tuple[Measure, ...]:
        """Those in this process first: they share the open model."""
        found: list[Measure] = []
        if self.with_text:
            found.append(TextMeasure(self.text, self.n_ctx, self.max_chunks, self.logits))
        if self.n_dialogues:
            found.append(DecisionMeasure(self.n_dialogues, self.family))
        found += [TaskMeasure(kind, path, self.n_tasks) for kind, path in self.tasks]
        if self.cases:
            found.append(ToolCallMeasure(tuple(self.cases), self.family))
        if self.with_speed:
            found.append(SpeedMeasure())
        return tuple(found)
