"""The measure of one file of benchmark tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from quantizer.measures.evaluation import TaskResult
from quantizer.measures.tasks.files import BlankTask, ChoiceTask, read_hellaswag, read_multiple_choice, read_winogrande
from quantizer.measures.tasks.score import score_blanks, score_choices
from quantizer.model.hashing import file_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from quantizer.measures.measure import Means, Subject

TaskKind = Literal["hellaswag", "winogrande", "multiple-choice"]


@dataclass(frozen=True, slots=True)
class TaskMeasure:
    """`n_tasks` of the tasks in a file, None for all."""

    kind: TaskKind
    path: Path
    n_tasks: int | None = None

    @property
    def name(self) -> str:
        """Its place among the tasks."""
        return f"tasks/{self.kind}:{self.path.name}"

    def depends(self, _means: Means) -> list[Any]:
        """The file's bytes."""
        return [self.kind, file_sha256(self.path), self.n_tasks]

    def tasks(self) -> tuple[ChoiceTask, ...] | tuple[BlankTask, ...]:
        """The tasks. Raises `DataError` or `FileFormatError` if the file is missing or of another form."""
        if self.kind == "winogrande":
            return read_winogrande(self.path, self.n_tasks)
        return (read_hellaswag if self.kind == "hellaswag" else read_multiple_choice)(self.path, self.n_tasks)

    def check(self, _reference: Path | None) -> None:
        """Raises as `tasks` does."""
        self.tasks()

    def run(self, subject: Subject, means: Means) -> TaskResult:
        """Raises as `tasks` does, and `DataError` for a task whose answers have nothing in common."""
        tasks: Any = self.tasks()
        score_tasks: Any = score_blanks if self.kind == "winogrande" else score_choices
        with means.bars(self.kind) as progress:
            score = score_tasks(subject.model, tasks, n_threads=means.n_threads, progress=progress)
        return TaskResult(
            accuracy=score.accuracy,
            error=score.error,
            interval=score.interval,
            n=score.n,
            chance=score.chance,
            not_finite=score.n_not_finite,
        )
