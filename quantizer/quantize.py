"""A plan carried out: atomically, with its provenance in the file, and not again if it was done before.

Decides no type. The law: under the final name there is a whole file that matches its plan, or nothing. A killed run
leaves a `.partial` file at most, which the next run of the same name takes over.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quantizer.errors import FileFormatError, NativeError, PlanError
from quantizer.lock import locked
from quantizer.model.duplicate import materialised
from quantizer.model.hashing import model_sha256
from quantizer.model.inventory import Inventory, read_inventory
from quantizer.native.quantize import Job, run
from quantizer.native.rows import are_finite
from quantizer.planning.plan import Plan
from quantizer.planning.provenance import PLAN_KEY, SOURCE_KEY, plan_hash
from quantizer.stamp import stamp
from server.llama.library import library
from server.machine.cpu import cpu_budget

WRITE_BACK_S = 0.25  # between two times that what is written goes to the disk
BUFFER_BYTES = 256 << 20  # rows held at once, so that memory does not follow the largest tensor

# Their quantizers look values up on a grid and abort the process where a number is none (`ggml-quants.c`).
_ABORT_ON_NAN = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"})
_PART = re.compile(r"-\d{5}-of-\d{5}$")
_BASE_TYPE = re.compile(r"[-.](f16|bf16|f32)$", re.IGNORECASE)
_STEP = re.compile(r"\[ *(\d+)/ *(\d+)\] (\S+)")


@dataclass(frozen=True, slots=True)
class Step:
    """How far it is: tensor `index` of `count`, from 1, has been begun."""

    index: int
    count: int
    tensor: str


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """What was made, or was there. `paths` are all its files; `is_kept` tells that the files were there already."""

    plan: Plan
    paths: tuple[Path, ...]
    is_kept: bool


def file_name(model: Path, recipe: str) -> str:
    """What the file of a recipe is called: the model's name without its own type, then the recipe's."""
    stem = _PART.sub("", model.name.removesuffix(".gguf"))
    return f"{_BASE_TYPE.sub('', stem)}-{recipe}.gguf"


def quantize(
    plan: Plan,
    target: Path,
    *,
    n_threads: int = 0,
    overwrite: bool = False,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> QuantizedModel:
    """Make the plan's file, `target`, or a split model's files, whose names it gives (`target-00001-of-00003.gguf`).

    Files there already that were made by the same plan from the same source are kept. The source is hashed, if its
    hash is not remembered, while llama.cpp is at work.
    Raises `PlanError` if something else is under the name, unless `overwrite`, if another process is making it, or if
    the disk is too full;
    `FileFormatError` if the source holds values that are no numbers; `NativeError` if llama.cpp fails.
    """
    paths = _paths(target, plan)
    if any(path.exists() for path in paths):
        if any(path.exists() and path.samefile(source) for path in paths for source in plan.inventory.paths):
            raise PlanError(f"{target} is the model itself; name another file")
        if _is_made_by(paths[0], plan, _hashes(plan, model_sha256(plan.inventory.path))):
            return QuantizedModel(plan, paths, is_kept=True)
        if not overwrite:
            raise PlanError(f"{paths[0]} is there and was not made by this plan; remove it, or say --overwrite")
    source_sha256 = _begun(model_sha256, plan.inventory.path)
    _check_finite(plan)
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_space(plan, target.parent)
    with _partial(target, plan) as partial:
        written = _paths(partial, plan)
        with materialised(plan.inventory, partial) as source, _written_back(written):
            run(_job(plan, source, partial, n_threads or _threads()), _Steps(on_step).hear)
        made = read_inventory(written[0])
        _check_written(plan, made)
        stamp(written[0], made.header, _hashes(plan, source_sha256.result()))
        _move(written, paths)
    return QuantizedModel(plan, paths, is_kept=False)


def _hashes(plan: Plan, source_sha256: str) -> dict[str, str]:
    """The entries whose places the plan only keeps."""
    entries = {**plan.entries, SOURCE_KEY: source_sha256}
    return {SOURCE_KEY: source_sha256, PLAN_KEY: plan_hash(plan.types, entries, library().build_info())}


def _begun(function: Callable[[Path], str], path: Path) -> Future[str]:
    """Call the function in a thread that does not keep an interrupted process alive."""
    future: Future[str] = Future()

    def call() -> None:
        try:
            future.set_result(function(path))
        except Exception as error:  # noqa: BLE001  whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=call, name=function.__name__, daemon=True).start()
    return future


def _paths(target: Path, plan: Plan) -> tuple[Path, ...]:
    """The files of a target: itself, or llama.cpp's names of parts."""
    count = len(plan.file_bytes)
    if not plan.keep_split:
        return (target,)
    stem = target.name.removesuffix(".gguf")
    return tuple(target.with_name(f"{stem}-{part:05}-of-{count:05}.gguf") for part in range(1, count + 1))


def _is_made_by(path: Path, plan: Plan, hashes: Mapping[str, str]) -> bool:
    """Whether the files at `path` are whole and carry these hashes."""
    try:
        there = read_inventory(path)
    except FileFormatError:
        return False
    sizes = tuple(header.size_bytes for header in there.headers)
    is_ours = all(there.header.metadata.get(key) == value for key, value in hashes.items())
    return is_ours and sizes == plan.file_bytes


def _check_finite(plan: Plan) -> None:
    for each in plan.tensors:
        if not each.is_changed or each.type.name not in _ABORT_ON_NAN:
            continue
        if not are_finite(each.tensor.type, plan.inventory.data(each.tensor)):
            raise FileFormatError(
                f"{each.tensor.name} of {plan.inventory.path} holds values that are no finite numbers; "
                f"the model is damaged (convert or download it again)"
            )


def _check_space(plan: Plan, folder: Path) -> None:
    """llama.cpp reports a full disk as "iostream error"; this says how much there is."""
    needed = plan.size_bytes + (plan.inventory.size_bytes if plan.inventory.added else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PlanError(f"{folder} has {free:,} bytes free and {needed:,} are needed; choose another folder")


@contextmanager
def _partial(target: Path, plan: Plan) -> Iterator[Path]:
    """A name beside the target to write to, this process's alone; nothing is left under it unless the process dies."""
    partial = target.with_name(f".{target.name.removesuffix('.gguf')}.partial.gguf")
    lock = target.with_name(f".{target.name}.lock")
    with locked(lock, f"another process is making {target}; wait for it, or choose another name"):
        try:
            yield partial
        finally:
            for path in _paths(partial, plan):
                path.unlink(missing_ok=True)


def _threads() -> int:
    """All CPUs that this process may use, hyperthreads too: there is no barrier at which one waits for another."""
    budget = cpu_budget(Path("/"), os.sched_getaffinity(0))
    return max(1, min(budget.n_affinity, math.floor(budget.quota or budget.n_affinity)))


def _job(plan: Plan, source: Path, target: Path, n_threads: int) -> Job:
    imatrix = plan.imatrix.imatrix if plan.imatrix else None
    names = [name for name in plan.overrides if imatrix is not None and name in imatrix.entries]
    return Job(
        source=source,
        target=target.with_name(target.name.removesuffix(".gguf")) if plan.keep_split else target,
        file_type=plan.native_file_type.id,
        types={name: kind.id for name, kind in plan.overrides.items()},
        entries=plan.entries,
        weights={name: imatrix.weights(name) for name in names} if imatrix is not None else {},
        allow_requantize=bool(plan.requantized or plan.dequantized),
        keep_split=plan.keep_split,
        n_threads=n_threads,
        buffer_bytes=BUFFER_BYTES,
    )


class _Steps:
    """Reads the log for tensors that are begun; each is told once, however often its line is heard."""

    def __init__(self, on_step: Callable[[Step], None]) -> None:
        self._on_step = on_step
        self._told = 0

    def hear(self, line: str) -> None:
        match = _STEP.match(line)
        if match and int(match[1]) > self._told:
            self._told = int(match[1])
            self._on_step(Step(self._told, int(match[2]), match[3]))


def _check_written(plan: Plan, made: Inventory) -> None:
    """Compare what llama.cpp wrote with what was planned: a difference is a bug, and the file is not to be had."""
    sizes = tuple(header.size_bytes for header in made.headers)
    differing = [name for name, tensor in made.by_name.items() if plan.types.get(name) != tensor.type]
    is_whole = sizes == plan.file_bytes and len(made.tensors) == len(plan.tensors)
    if differing or not is_whole:
        raise NativeError(
            f"llama.cpp wrote {sizes} bytes and planned were {plan.file_bytes}; of another type than planned: "
            f"{differing or 'nothing'}; nothing was kept"
        )


@contextmanager
def _written_back(paths: tuple[Path, ...]) -> Iterator[None]:
    """Have the disk take the files while they are written: `_move` waits for it, and would for all of them at once."""
    is_done = threading.Event()

    def write_back() -> None:
        while not is_done.wait(WRITE_BACK_S):
            for path in filter(Path.exists, paths):
                _sync(path)

    thread = threading.Thread(target=write_back, name="write back", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()


def _move(written: tuple[Path, ...], paths: tuple[Path, ...]) -> None:
    """Give the finished files their names, the first part last: what opens is whole."""
    for path in written:
        _sync(path)
    for path, name in reversed(list(zip(written, paths, strict=True))):
        path.rename(name)
    _sync(paths[0].parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
