"""One file measured: everything that was asked for, as one report that says how each number was made.

Knows the measures and in which order they run; no terminal. The law: what depends on the reference is computed once for
it and kept; every number has its convention beside it.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantizer.calibration import generate_dialogues, shipped_text
from quantizer.calibration.chunks import Chunks, chunk_text
from quantizer.calibration.model_family import model_family
from quantizer.calibration.sources import SHIPPED_TEXT, read_text
from quantizer.errors import DataError, FileFormatError
from quantizer.measures.calls.decisions import (
    calls_key,
    decision_counts,
    expected_decisions,
    forced_calls,
    load_expected,
    measure_decisions,
    save_expected,
)
from quantizer.measures.calls.served import score_tool_calls
from quantizer.measures.speed import measure_speed
from quantizer.measures.tasks.files import read_hellaswag, read_multiple_choice, read_winogrande
from quantizer.measures.tasks.score import TaskScore, score_blanks, score_choices
from quantizer.measures.text.divergence import measure_divergence
from quantizer.measures.text.logits_file import LogitsFile
from quantizer.measures.text.perplexity import measure_perplexity
from quantizer.model.hashing import model_sha256
from server.llama.model import Model
from server.machine.cpu import describe_cpu

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from quantizer.measures.calls.case_files import Case
    from quantizer.measures.calls.decisions import ExpectedDecision, ForcedCall
    from quantizer.measures.estimate import Estimate
    from quantizer.measures.text.reference import ReferenceStore

    Bars = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

# Dialogues for decisions come from a seed that calibration does not use: they are held out.
HELD_OUT_SEED = 20_001

CONVENTIONS: Mapping[str, str] = {
    "text": "disjoint chunks; the second half of each is scored; BOS replaces a chunk's first token where the model "
    "wants it; special tokens in the text are not parsed",
    "kld": "D(reference || model) in nats over the tokens to which the reference gives more than e^-16",
    "delta_p": "p(model) - p(reference) of the text's own token",
    "error": "standard error by bootstrap over chunks (decisions: over calls)",
    "token_error": "standard error with tokens taken for independent, as llama-perplexity prints it: too small",
    "decisions": "teacher-forced calls of held-out dialogues; tokens that the grammar forces weigh nothing; both "
    "models renormalised over the tokens that the grammar allows",
    "tasks": "mean log-probability of an answer's tokens after the beginning that all have in common; the best must be "
    "right; error = sqrt(p (1 - p) / (n - 1)); interval: Wilson, 95 %",
    "tool_calls": "served by functiongate, greedy, tool_choice auto; the calls must be those accepted, in any order",
    "speed": "median of three runs in a process of their own, with llama.cpp's kernels unless FUNCTIONGATE_KERNELS=1; "
    "largest resident set of that process",
}


@dataclass(frozen=True, slots=True)
class EvaluationChoice:
    """What to measure. `text` None is the shipped text. `n_dialogues` 0: no decisions. `cases` empty: no tool calls.

    `tasks` are `(kind, path)` with kind hellaswag, winogrande or multiple-choice.
    """

    text: Path | None = None
    n_ctx: int = 512
    max_chunks: int | None = None
    logits: Path | None = None
    n_dialogues: int = 0
    family: str | None = None
    tasks: tuple[tuple[str, Path], ...] = ()
    n_tasks: int | None = None
    cases: Sequence[Case] = field(default_factory=tuple)
    with_text: bool = True
    with_speed: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """With what is measured. `bars` gives a progress function for a named piece of work."""

    store: ReferenceStore
    n_threads: int
    bars: Bars


def evaluate(path: Path, reference: Path | None, choice: EvaluationChoice, means: Means) -> dict[str, Any]:
    """Measure one file, against a reference's if there is one. The report is made of what JSON can say.

    Raises `QuantizerError` and its kinds.
    """
    report: dict[str, Any] = {"reference": reference and {"name": reference.name, "sha256": model_sha256(reference)}}
    with Model(path) as model:
        report["model"] = {
            "name": path.name,
            "sha256": model_sha256(path),
            "file_bytes": path.stat().st_size,
            "tensor_bytes": model.size_bytes,
            "bits_per_weight": 8 * model.size_bytes / model.n_params,
            "description": model.description,
        }
        if choice.with_text:
            report["text"] = _measure_text(model, reference, choice, means)
        if choice.n_dialogues:
            report["decisions"] = _measure_decisions(model, reference, choice, means)
        report["tasks"] = {
            f"{kind}:{file.name}": _measure_task(model, kind, file, choice.n_tasks, means)
            for kind, file in choice.tasks
        }
    if choice.cases:
        report["tool_calls"] = _measure_tool_calls(path, choice, means)
    if choice.with_speed:
        with means.bars("speed"):
            speed = measure_speed(path, n_threads=means.n_threads)
        report["speed"] = {**asdict(speed), "cpu": _cpu_name()}
    report["conventions"] = dict(CONVENTIONS)
    return report


def _measure_text(model: Model, reference: Path | None, choice: EvaluationChoice, means: Means) -> dict[str, Any]:
    if choice.logits is not None:
        expected: Any = LogitsFile.open(choice.logits, bos=model.vocabulary.bos_token)
    elif reference is not None:
        with Model(reference) as weights, means.bars("reference") as progress:
            chunks = _chunks(weights, choice)
            expected = means.store.get(weights, chunks, n_threads=means.n_threads, progress=progress)
    else:
        chunks = _chunks(model, choice)
        with means.bars("perplexity") as progress:
            found = measure_perplexity(model, chunks, n_threads=means.n_threads, progress=progress)
        return {**_text_head(chunks, choice), "ppl": asdict(found.estimate())}
    with means.bars("divergence") as progress:
        divergence = measure_divergence(model, expected, n_threads=means.n_threads, progress=progress)
    by_chunk = divergence.kld.mean(axis=1, dtype="f8").tolist()
    return {**_text_head(expected.chunks, choice), **_estimates(divergence.estimates()), "kld_by_chunk": by_chunk}


def _chunks(model: Model, choice: EvaluationChoice) -> Chunks:
    text = shipped_text() if choice.text is None else read_text(choice.text)
    return chunk_text(model.vocabulary, text, n_ctx=choice.n_ctx, max_chunks=choice.max_chunks, name=_text_name(choice))


def _text_name(choice: EvaluationChoice) -> str:
    return SHIPPED_TEXT if choice.text is None else str(choice.text)


def _text_head(chunks: Chunks, choice: EvaluationChoice) -> dict[str, Any]:
    name = str(choice.logits) if choice.logits is not None else _text_name(choice)
    n_scored = chunks.n_chunk * chunks.n_scored
    return {"name": name, "n_ctx": chunks.n_ctx, "n_chunk": chunks.n_chunk, "n_scored": n_scored, "tokens": chunks.key}


def _measure_decisions(model: Model, reference: Path | None, choice: EvaluationChoice, means: Means) -> dict[str, Any]:
    if reference is None:
        raise DataError("decision tokens are compared with a reference: give one (--reference)")
    dialogues = generate_dialogues(choice.n_dialogues, seed=HELD_OUT_SEED)
    with model_family(model, choice.family) as family:
        calls = forced_calls(model, family, dialogues)
    expected = _expected(reference, calls, means)
    with means.bars("decisions") as progress:
        found = measure_decisions(model, calls, expected, n_threads=means.n_threads, progress=progress)
    return {"family": family.id, **decision_counts(calls), **_estimates(found.estimates())}


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


def _measure_task(model: Model, kind: str, path: Path, n_tasks: int | None, means: Means) -> dict[str, Any]:
    with means.bars(kind) as progress:
        if kind == "winogrande":
            score = score_blanks(model, read_winogrande(path, n_tasks), n_threads=means.n_threads, progress=progress)
        else:
            read = read_hellaswag if kind == "hellaswag" else read_multiple_choice
            score = score_choices(model, read(path, n_tasks), n_threads=means.n_threads, progress=progress)
    return _task_report(score)


def _cpu_name() -> str | None:
    """What the processor calls itself, where the kernel tells."""
    found = re.search(r"model name\s*: (.*?)(?: flags\b| Features\b|$)", describe_cpu(Path("/")))
    return found[1].strip() if found else None


def _task_report(score: TaskScore) -> dict[str, Any]:
    return {
        "accuracy": score.accuracy,
        "error": score.error,
        "interval": list(score.interval),
        "n": score.n,
        "chance": score.chance,
    }


def _measure_tool_calls(path: Path, choice: EvaluationChoice, means: Means) -> dict[str, Any]:
    with means.bars("tool calls") as progress:
        score = score_tool_calls(path, choice.cases, n_threads=means.n_threads, family=choice.family, progress=progress)
    return {
        "accuracy": score.accuracy,
        "error": score.error,
        "n": len(score.results),
        "by_category": {category: {"right": right, "n": n} for category, (right, n) in score.by_category.items()},
        "results": [asdict(result) for result in score.results],
    }


def _estimates(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: asdict(estimate) for name, estimate in estimates.items()}
