"""Benchmark scores: HellaSwag, WinoGrande, and multiple choice (ARC, MMLU, TruthfulQA), as llama-perplexity scores.

Knows tasks and candidates. Conventions: an answer's score is the mean ln p of its tokens, those after the tokens that
all answers have in common; the best must be the right one. The error is sqrt(p (1 - p) / (n - 1)).
Source: `tools/perplexity/perplexity.cpp` (hellaswag_score, winogrande_score, multiple_choice_score).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantizer.errors import DataError
from quantizer.measures.tasks.candidates import N_PARALLEL, CandidateEvaluator, Candidates, Query, shared_length

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from quantizer.measures.tasks.files import BlankTask, ChoiceTask
    from server.llama.model import Model

# WinoGrande's choice words are not scored where more tokens than these follow the common beginning.
_MIN_TRAILING = 3
_Z_95 = 1.95996398454


@dataclass(frozen=True, slots=True)
class TaskScore:
    """Whether each task was solved, in the order of the tasks, and the share that guessing would solve.

    `n_not_finite` tasks have no score that is a number; they are not in `solved`.
    """

    solved: NDArray[np.bool_]
    chance: float
    n_not_finite: int = 0

    @property
    def n(self) -> int:
        """The number of tasks that have a score."""
        return len(self.solved)

    @property
    def accuracy(self) -> float | None:
        """The share of tasks solved; None if none has a score."""
        return float(self.solved.mean()) if self.n else None

    @property
    def error(self) -> float | None:
        """The standard error of `accuracy`; 0 with one task."""
        if (p := self.accuracy) is None:
            return None
        return math.sqrt(p * (1 - p) / (self.n - 1)) if self.n > 1 else 0.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of `accuracy`."""
        if (p := self.accuracy) is None:
            return None
        z = _Z_95**2 / self.n
        half = z * math.sqrt(self.n * (4 * p * (1 - p) + z)) / (2 * _Z_95)
        return (p + z / 2 - half) / (1 + z), (p + z / 2 + half) / (1 + z)


def score_choices(
    model: Model,
    tasks: Sequence[ChoiceTask],
    *,
    n_threads: int,
    n_parallel: int = N_PARALLEL,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> TaskScore:
    """HellaSwag's and multiple-choice tasks. Raises `DataError` if there is none, or one has nothing in common."""
    groups = [_choice_candidates(model, task) for task in tasks]
    solved = []
    with CandidateEvaluator(model, groups, n_threads=n_threads, n_parallel=n_parallel) as evaluator:
        for task, group, answers in zip(tasks, groups, evaluator.evaluate(progress), strict=True):
            sums = np.zeros(len(group.sequences))
            counts = np.zeros(len(group.sequences))
            for query, log_p in zip(group.queries, answers, strict=True):
                sums[query.sequence] += log_p
                counts[query.sequence] += 1
            if np.isfinite(sums).all():
                solved.append(int(np.argmax(sums / counts)) in task.right)
    chance = len(tasks) / sum(len(task.answers) for task in tasks)
    return TaskScore(np.array(solved, dtype=np.bool_), chance, len(tasks) - len(solved))


def score_blanks(
    model: Model,
    tasks: Sequence[BlankTask],
    *,
    n_threads: int,
    n_parallel: int = N_PARALLEL,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> TaskScore:
    """WinoGrande's tasks. Raises `DataError` if there is none, or one has nothing in common."""
    prepared = [_blank_candidates(model, task) for task in tasks]
    solved = []
    with CandidateEvaluator(
        model, [group for group, _ in prepared], n_threads=n_threads, n_parallel=n_parallel
    ) as evaluator:
        answered = zip(tasks, prepared, evaluator.evaluate(progress), strict=True)
        for task, (_, n_first), answers in answered:
            best = 0 if answers[:n_first].mean() > answers[n_first:].mean() else 1
            if np.isfinite(answers).all():
                solved.append(best == task.right)
    return TaskScore(np.array(solved, dtype=np.bool_), 0.5, len(tasks) - len(solved))


def _choice_candidates(model: Model, task: ChoiceTask) -> Candidates:
    sequences = tuple(_tokens(model, f"{task.question} {answer}") for answer in task.answers)
    n_shared = _shared(sequences, task.question)
    queries = tuple(
        Query(i, position - 1, sequence[position])
        for i, sequence in enumerate(sequences)
        for position in range(n_shared, len(sequence))
    )
    return Candidates(sequences, n_shared, queries)


def _blank_candidates(model: Model, task: BlankTask) -> tuple[Candidates, int]:
    """The candidates, and how many of their queries are about the first choice."""
    sequences = tuple(_tokens(model, task.first + choice + task.second) for choice in task.choices)
    n_shared = _shared(sequences, task.first)
    skips_choice = all(len(sequence) - n_shared > _MIN_TRAILING for sequence in sequences)
    queries: list[list[Query]] = []
    for i, (sequence, choice) in enumerate(zip(sequences, task.choices, strict=True)):
        start = max(n_shared, len(_tokens(model, task.first + choice))) if skips_choice else n_shared
        start = min(start, len(sequence) - 1)
        end = len(sequence) - (len(sequence) - start > 1)  # the last token, a full stop as a rule, does not count
        queries.append([Query(i, position - 1, sequence[position]) for position in range(start, end)])
    if not skips_choice:
        # llama-perplexity takes the logits after the first sequence's last token for this one ("FIXME" in its source).
        # Published scores have it so, and it is the same for every model that is compared.
        queries[1][0] = Query(0, len(sequences[0]) - 1, queries[1][0].token)
    return Candidates(sequences, n_shared, (*queries[0], *queries[1])), len(queries[0])


def _tokens(model: Model, text: str) -> tuple[int, ...]:
    return tuple(model.vocabulary.tokenize_document(text.encode("utf-8", "replace"), parse_special=False))


def _shared(sequences: Sequence[Sequence[int]], text: str) -> int:
    if (n_shared := shared_length(sequences)) < 1:
        raise DataError(f"the candidates for {text[:60]!r} have no first token in common: nothing precedes the choice")
    return n_shared
