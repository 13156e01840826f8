"""How fast a file is on this CPU, and how much memory it takes: measured in a process of its own.

Knows a child process and its numbers. Conventions: prefill is tokens a second of prompts of `n_prompt` tokens, decode
tokens a second of single tokens after a prompt; the median of `repetitions` after one that warms up. Peak memory is the
child's largest resident set, the mapped file included as far as it was read.
"""

from __future__ import annotations

import json
import re
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantizer.errors import NativeError
from quantizer.measures.evaluation import SpeedResult
from quantizer.native.child import mortal
from server.llama.batch import Batch
from server.llama.context import Context, DecodeStatus
from server.llama.model import Model
from server.machine.cpu import describe_cpu

if TYPE_CHECKING:
    from quantizer.measures.measure import Means, Subject

TIMEOUT_S = 1800
_DECODE_DEPTH = 64  # tokens in memory before single ones are timed


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second, seconds to load, and bytes."""

    prefill: float
    decode: float
    load_s: float
    peak_bytes: int
    n_threads: int
    n_prompt: int
    n_decode: int


@dataclass(frozen=True, slots=True)
class SpeedMeasure:
    """The speed of a file on this processor."""

    @property
    def name(self) -> str:
        """Its field."""
        return "speed"

    def depends(self, means: Means) -> list[Any]:
        """The processor and the threads."""
        return [describe_cpu(Path("/")), means.n_threads]

    def check(self, _reference: Path | None) -> None:
        """Nothing is asked of the user."""

    def run(self, subject: Subject, means: Means) -> SpeedResult:
        """Raises `NativeError` with the child's words if it fails."""
        subject.release()
        with means.bars("speed"):
            speed = measure_speed(subject.path, n_threads=means.n_threads)
        return SpeedResult(**asdict(speed), cpu=_cpu_name())


def _cpu_name() -> str | None:
    """What the processor calls itself, where the kernel tells."""
    found = re.search(r"model name\s*: (.*?)(?: flags\b| Features\b|$)", describe_cpu(Path("/")))
    return found[1].strip() if found else None


def measure_speed(
    path: Path, *, n_threads: int, n_prompt: int = 512, n_decode: int = 64, repetitions: int = 3
) -> Speed:
    """Measure a model file. Raises `NativeError` with the child's words if it fails or takes too long."""
    arguments = json.dumps([str(path), n_threads, n_prompt, n_decode, repetitions])
    try:
        child = subprocess.run(  # noqa: S603  our own interpreter and module
            mortal([sys.executable, "-m", "quantizer.measures.speed", arguments]),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NativeError(f"measuring the speed of {path} took longer than {TIMEOUT_S} s") from error
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NativeError(f"measuring the speed of {path} failed with code {child.returncode}: {last}")
    return Speed(**json.loads(child.stdout))


def measure_here(path: Path, n_threads: int, n_prompt: int, n_decode: int, repetitions: int) -> Speed:
    """Measure in this process, whose peak memory then says something only if it did nothing else."""
    started = time.perf_counter()
    with Model(path) as model:
        load_s = time.perf_counter() - started
        n_ctx = max(n_prompt, _DECODE_DEPTH + n_decode)
        rng = np.random.default_rng(1)
        tokens = rng.integers(0, model.n_vocab, n_ctx).astype(np.int32)
        with Context(model, n_ctx=n_ctx, n_batch=n_ctx, n_threads=n_threads) as context:
            batch = Batch(n_ctx, 1, model.n_vocab)
            runs = [_run(context, batch, tokens, n_prompt, n_decode) for _ in range(repetitions + 1)][1:]
            batch.close()
    return Speed(
        prefill=n_prompt / statistics.median(prefill for prefill, _ in runs),
        decode=n_decode / statistics.median(decode for _, decode in runs),
        load_s=load_s,
        peak_bytes=_peak_bytes(),
        n_threads=n_threads,
        n_prompt=n_prompt,
        n_decode=n_decode,
    )


def _peak_bytes() -> int:
    # Not ru_maxrss where there is something better: a child's begins with what its parent had in memory.
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _run(context: Context, batch: Batch, tokens: np.ndarray, n_prompt: int, n_decode: int) -> tuple[float, float]:
    """Seconds for a prompt, and seconds for single tokens one after the other."""
    context.clear()
    prefill = _timed(context, batch, tokens[:n_prompt], 0)
    context.clear()
    _timed(context, batch, tokens[:_DECODE_DEPTH], 0)
    ends = range(_DECODE_DEPTH, _DECODE_DEPTH + n_decode)
    return prefill, sum(_timed(context, batch, tokens[i : i + 1], i) for i in ends)


def _timed(context: Context, batch: Batch, tokens: np.ndarray, start: int) -> float:
    batch.clear()
    batch.add(tokens, start, 0, wants_logits=True)
    began = time.perf_counter()
    status = context.decode(batch)
    context.logits(0)
    if status is not DecodeStatus.OK:
        raise NativeError(f"llama.cpp did not evaluate {len(tokens)} tokens ({status.name})")
    return time.perf_counter() - began


def main() -> None:
    """The child: arguments as JSON, the result as JSON."""
    path, *numbers = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(asdict(measure_here(Path(path), *numbers))))


if __name__ == "__main__":
    main()
