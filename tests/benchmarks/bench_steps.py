"""Milliseconds of one step by its rows, after a prompt: with ggml's kernels and with ours, in turns in one process.

python tests/benchmarks/bench_steps.py model.gguf --depth 2200
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from server.llama.batch import Batch
from server.llama.context import Context
from server.llama.library import ALL_KERNELS, NO_KERNELS
from server.llama.model import Model
from server.machine.cpu import choose_threads

ROWS = (1, 2, 3, 4, 6, 8, 16, 32, 128, 512)
KERNELS = {"ggml's": NO_KERNELS, "ours": ALL_KERNELS}


def main(
    path: Annotated[Path, typer.Argument(metavar="MODEL")],
    depth: Annotated[int, typer.Option(help="Tokens before the step.")] = 64,
    rounds: Annotated[int, typer.Option(help="Steps of each kind.")] = 5,
) -> None:
    """Print the medians of both."""
    found: dict[tuple[str, int], list[float]] = {}
    with Model(path) as model:
        n_threads = choose_threads(0)
        with Context(model, n_ctx=depth + 512, n_batch=512, n_threads=n_threads, n_threads_batch=n_threads) as context:
            batch = Batch(512, 1, context.n_vocab)
            tokens = np.random.default_rng(0).integers(100, 20_000, depth + 512)

            def step(start: int, n: int) -> float:
                batch.clear()
                batch.add(tokens[start : start + n], start, 0, wants_logits=True)
                begun = time.perf_counter()
                context.decode(batch)
                return time.perf_counter() - begun

            for start in range(0, depth, 512):
                step(start, min(512, depth - start))
            for n in ROWS * rounds:
                for name, setting in KERNELS.items():
                    model.library.set_kernels(setting)
                    found.setdefault((name, n), []).append(step(depth, n))
                    context.seq_rm(0, depth)
            batch.close()
    table = Table("kernels", *map(str, ROWS), title=f"{path.stem}, milliseconds of a step after {depth} tokens")
    for name in KERNELS:
        table.add_row(name, *(f"{1000 * statistics.median(found[name, n]):.0f}" for n in ROWS))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
