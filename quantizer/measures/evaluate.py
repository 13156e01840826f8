"""One file measured: every measure that was asked for, one after the other, and nothing that is known already.

Knows measures by their protocol; no terminal. The law: a result that is kept has the key of all that it was made from;
another key, and it is made anew. What is kept is written whole after every measure, so a killed run loses one at most.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantizer.errors import DataError
from quantizer.measures.evaluation import Evaluation, MeasuredFile, read_evaluation, write_evaluation
from quantizer.measures.measure import Means, Measure, Subject
from quantizer.model.hashing import model_sha256
from quantizer.model.inventory import read_inventory
from server.llama.library import library
from server.version import functiongate_version

# Raised when a measure changes its meaning, so that kept ones of the old meaning are made anew.
_FORM = 2
_TASKS = "tasks/"

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
    "not_finite": "positions, decisions, tasks, cases at which the model's logits are no numbers; they are in no mean",
}


def evaluate(
    path: Path, reference: Path | None, measures: Sequence[Measure], means: Means, target: Path | None = None
) -> Evaluation:
    """Measure one file, held against a reference if there is one.

    What `target` keeps of an earlier run with the same key is not measured again; what it keeps of measures that are
    not asked for is dropped. Raises `QuantizerError` and its kinds.
    """
    for measure in measures:
        measure.check(reference)
    files = [model_sha256(path), reference and model_sha256(reference)]
    common = [_FORM, functiongate_version(), library().build_info(), *files]
    keys = {measure.name: _key([measure.name, *common, measure.depends(means)]) for measure in measures}
    kept = _kept(target)
    found = _described(path, reference)
    known = {name for name, key in keys.items() if kept.keys.get(name) == key and _result(kept, name) is not None}
    for name in known:
        found = _with(found, name, _result(kept, name), keys[name])
    if target is not None and known and found != kept:
        write_evaluation(target, found)
    with Subject(path, reference) as subject:
        for measure in measures:
            if measure.name not in known:
                found = _with(found, measure.name, measure.run(subject, means), keys[measure.name])
                if target is not None:
                    write_evaluation(target, found)
    return found


def _described(path: Path, reference: Path | None) -> Evaluation:
    """An evaluation without a measure: the files, all parts of them, and the conventions."""
    inventory = read_inventory(path)
    tensor_bytes = sum(tensor.size_bytes for tensor in inventory.tensors)
    n_values = sum(tensor.n_values for tensor in inventory.tensors)
    return Evaluation(
        model=MeasuredFile(
            name=path.name,
            sha256=model_sha256(path),
            file_bytes=inventory.size_bytes,
            tensor_bytes=tensor_bytes,
            bits_per_weight=8 * tensor_bytes / n_values,
            description=f"{inventory.header.architecture}, {n_values / 1e6:,.1f} million weights",
        ),
        reference=MeasuredFile(name=reference.name, sha256=model_sha256(reference)) if reference else None,
        conventions=CONVENTIONS,
    )


def _with(found: Evaluation, name: str, result: Any, key: str) -> Evaluation:
    """The evaluation with one result more; tasks and keys stand in the order in which they come."""
    keys = {**found.keys, name: key}
    if name.startswith(_TASKS):
        return replace(found, tasks={**found.tasks, name.removeprefix(_TASKS): result}, keys=keys)
    return replace(found, **{name: result}, keys=keys)


def _result(kept: Evaluation, name: str) -> Any:
    return kept.tasks.get(name.removeprefix(_TASKS)) if name.startswith(_TASKS) else getattr(kept, name)


def _key(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _kept(path: Path | None) -> Evaluation:
    """What is there, or nothing: a file that cannot be read is made anew."""
    try:
        return read_evaluation(path) if path is not None else Evaluation()
    except DataError:
        return Evaluation()
