"""An evaluation that is kept beside its file, measure by measure: what was measured before is not measured again.

Knows what each measure depends on. The law: a measure that is kept has the key of all that it was made from; another
key, and it is made anew. The file is written whole after every measure, so a killed run loses one at most.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from quantizer.errors import DataError
from quantizer.measures.evaluate import EvaluationChoice, Means, evaluate
from quantizer.model.hashing import file_sha256, model_sha256
from server.llama.library import library
from server.machine.cpu import describe_cpu
from server.version import functiongate_version

EVALUATION_SUFFIX = ".evaluation.json"
# Raised when a measure changes its meaning, so that kept ones of the old meaning are made anew.
_FORM = 1
_COMMON = ("model", "reference", "conventions")


def evaluation_path(file: Path) -> Path:
    """Where the evaluation of a file is kept."""
    return file.with_name(file.name.removesuffix(".gguf") + EVALUATION_SUFFIX)


def read_evaluation(path: Path) -> dict[str, Any]:
    """An evaluation as it was written. Raises `DataError` if it is missing or is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        name = path.name.removesuffix(EVALUATION_SUFFIX)
        raise DataError(
            f"{path} is missing: make it with `functiongate-quantize evaluate {name}.gguf --reference BASE --json "
            f"{path.name}`"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an evaluation: {error}") from error
    if not isinstance(found, dict) or "model" not in found:
        raise DataError(f"{path} is no evaluation of this program's")
    return found


def evaluate_once(
    path: Path, reference: Path | None, choice: EvaluationChoice, means: Means, target: Path
) -> dict[str, Any]:
    """The evaluation of a file with all that is chosen, kept in `target`; only what is not there is measured.

    Measures that are no longer chosen are dropped. Raises `QuantizerError` and its kinds.
    """
    common = [_FORM, functiongate_version(), library().build_info(), model_sha256(path)]
    common.append(reference and model_sha256(reference))
    wanted = {name: (part, _key([name, *common, _depends(part, means)])) for name, part in _parts(choice).items()}
    kept = _kept(target)
    keys = {name: key for name, key in kept.get("keys", {}).items() if name in wanted and wanted[name][1] == key}
    found = {**{what: kept[what] for what in _COMMON if keys}, "keys": keys, "tasks": {}}
    for name in keys:
        _copy(name, kept, found)
    if keys and keys != kept["keys"]:
        _write(target, found)
    for name, (part, key) in wanted.items():
        if name not in keys:
            measured = evaluate(path, reference, part, means)
            _copy(name, measured, found)
            keys[name] = key
            found |= {what: measured[what] for what in _COMMON}
            _write(target, found)
    return found


def _parts(choice: EvaluationChoice) -> dict[str, EvaluationChoice]:
    """The choice taken apart, one measure each; a task's name is `tasks/` and what the report calls it."""
    nothing = replace(choice, with_text=False, n_dialogues=0, tasks=(), cases=(), with_speed=False)
    parts = {}
    if choice.with_text:
        parts["text"] = replace(nothing, with_text=True)
    if choice.n_dialogues:
        parts["decisions"] = replace(nothing, n_dialogues=choice.n_dialogues)
    for kind, path in choice.tasks:
        parts[f"tasks/{kind}:{path.name}"] = replace(nothing, tasks=((kind, path),))
    if choice.cases:
        parts["tool_calls"] = replace(nothing, cases=choice.cases)
    if choice.with_speed:
        parts["speed"] = replace(nothing, with_speed=True)
    return parts


def _depends(part: EvaluationChoice, means: Means) -> list[Any]:
    """What a measure depends on beyond the model, the reference and the build."""
    files = [path for path in (part.text if part.with_text else None, part.logits) if path is not None]
    files += [path for _, path in part.tasks]
    return [
        [part.n_ctx, part.max_chunks, part.n_dialogues, part.family, part.n_tasks],
        [file_sha256(path) for path in files],
        [asdict(case) for case in part.cases],
        [describe_cpu(Path("/")), means.n_threads] if part.with_speed else None,
    ]


def _key(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _copy(name: str, source: Mapping[str, Any], target: dict[str, Any]) -> None:
    part, _, task = name.partition("/")
    if task:
        target[part][task] = source[part][task]
    else:
        target[part] = source[part]


def _kept(path: Path) -> Mapping[str, Any]:
    """What is there, or nothing: a file that cannot be read, or lacks what it says it has, is made anew."""
    try:
        found = json.loads(path.read_text("utf-8"))
        for name in found["keys"]:
            _copy(name, found, {"tasks": {}})
        kept: Mapping[str, Any] = {name: found[name] for name in (*_COMMON, "keys", *found)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return kept


def _write(path: Path, found: Mapping[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write the evaluation {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
