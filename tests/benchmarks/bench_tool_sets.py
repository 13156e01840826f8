"""What tools cost before and while they are called, over the whole corpus of tool sets; fails where a bound is broken.

    PYTHONPATH=tests python tests/benchmarks/bench_tool_sets.py

Real vocabularies without weights, in a process for each, with the families and choices that most requests have. For
each set: preparing it cold and warm, the memory that it keeps, and every step along its call, along prose that leads to
the call (`auto`), and along calls at random. Then the masks of a small grammar while another thread prepares the
largest set, by the clock. All other seconds are the processor's in the thread that measures.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from grammar_walk import GrammarWalk, Steps
from real_vocabulary import real_vocabulary
from rich.console import Console
from rich.table import Table
from tool_sets.corpus import USABLE
from tool_sets.shapes import ToolSet, string, tool

from chat_templates import Family, get_family
from server.chat.request import ChatRequest
from server.chat.tool_sets import MAX_SETS, ToolSets
from server.engine.sampling.constraint import GrammarCompiler
from server.engine.vocabulary import Vocabulary
from server.llama.model import Model

PAIRS = (("qwen2", "qwen2.5"), ("llama-bpe", "llama-3.1"))
CHOICES = ("required", "auto")
PROSE = 'Sure! If a < b, then {x} holds: <b>see</b> "the list", {"a": [1, 2]}, and\n- one\n- two (2.5 %).\n'
N_WALKS = 4
N_STEPS = 400  # of a walk: one that gets lost in a pattern does not stand for all others
PAGE_BYTES = 4096

# The most that is allowed, and the unit. In free text the engine makes no masks: it asks whether one token is allowed.
# Beside a compilation a mask waits for the interpreter's lock at most, whose turns are 5 ms.
BOUNDS = {
    "cold": (1000.0, "ms"),
    "warm": (5.0, "ms"),
    "mask, required, p99": (1.0, "ms"),
    "mask, auto, p99": (1.0, "ms"),
    "allows, auto, p99": (1.0, "ms"),
    "mask, one set, p99": (5.0, "ms"),
    "accept, p99": (1.0, "ms"),
    "forced, p99": (1.0, "ms"),
    "memory of a set": (64.0, "MB"),
    f"memory of {MAX_SETS} sets": (512.0, "MB"),
    "mask beside a compilation, p99": (15.0, "ms"),
}


@dataclass
class Cost:
    """What one set took: milliseconds, megabytes, and the milliseconds of each step."""

    cold: float
    warm: float
    memory: float
    mask: list[float] = field(default_factory=list)
    allows: list[float] = field(default_factory=list)
    forced: list[float] = field(default_factory=list)
    accept: list[float] = field(default_factory=list)

    def add(self, steps: Steps) -> None:
        """Count the steps of one answer."""
        for mine, theirs in (
            (self.mask, steps.mask),
            (self.allows, steps.allows),
            (self.forced, steps.forced),
            (self.accept, steps.accept),
        ):
            mine += [1000 * seconds for seconds in theirs]


class Bench:
    """Measures sets of tools for one vocabulary and one family."""

    def __init__(self, vocabulary: Vocabulary, family: Family) -> None:
        self._vocabulary = vocabulary
        self._family = family
        special = [marker for marker in family.output.markers if marker in vocabulary.special]
        compiler = GrammarCompiler(vocabulary)
        self.new_sets = lambda: ToolSets(family, special, compiler.compile)
        self._kept = self.new_sets()

    def cost(self, tool_set: ToolSet, choice: str) -> Cost:
        """What a set takes; it stays prepared, as in a server."""
        request = request_of(tool_set, choice)
        gc.collect()
        before = resident_bytes()
        made, cold = timed(lambda: self._kept.of(request))
        gc.collect()
        memory = (resident_bytes() - before) / 1e6
        warm = sorted(timed(lambda: self._kept.of(request))[1] for _ in range(5))[2]
        cost = Cost(cold, warm, memory)
        for text in self._texts(tool_set, choice):
            rest, steps = GrammarWalk(self._vocabulary).along(made.constraint.fork(), text)
            if rest:
                raise typer.BadParameter(f"{tool_set.name}, {choice}: {rest!r} is not allowed in {text!r}")
            cost.add(steps)
        if choice == "required":
            for seed in range(N_WALKS):
                cost.add(GrammarWalk(self._vocabulary, seed).at_random(made.constraint.fork(), limit=N_STEPS)[1])
        return cost

    def beside(self, largest: ToolSet) -> tuple[list[float], list[float]]:
        """Milliseconds by the clock of a small grammar's masks alone, and while a thread prepares the largest set."""
        small = self.new_sets().of(request_of(SMALL, "required")).constraint
        walks = self._masks(small, lambda n: n > 2000)
        done = threading.Event()

        def prepare() -> None:
            for _ in range(3):
                self.new_sets().of(request_of(largest, "auto"))
            done.set()

        thread = threading.Thread(target=prepare)
        thread.start()
        beside = self._masks(small, lambda _: done.is_set())
        thread.join()
        return walks, beside

    def _masks(self, small: Any, is_done: Callable[[int], bool]) -> list[float]:
        """A mask, and what an engine does between two: one step of a model, slept."""
        milliseconds: list[float] = []
        constraint = small.fork()
        while not is_done(len(milliseconds)):
            if constraint.is_finished:
                constraint = small.fork()
            constraint.forced()
            started = time.perf_counter()
            mask = constraint.mask()
            milliseconds.append(1000 * (time.perf_counter() - started))
            ids = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
            constraint.accept(int(ids[len(milliseconds) % len(ids)]))
            time.sleep(0.001)
        return milliseconds

    def _texts(self, tool_set: ToolSet, choice: str) -> Iterator[str]:
        name, arguments = tool_set.call
        before, after = self._family.output.call.around(name)
        call = before + json.dumps(arguments, ensure_ascii=False) + after
        yield call
        if choice == "auto":
            yield PROSE + call


SMALL = ToolSet("small", [tool("say", "", {"text": string()})])


def request_of(tool_set: ToolSet, choice: str) -> ChatRequest:
    """One turn with these tools."""
    return ChatRequest(({"role": "user", "content": "?"},), tuple(tool_set.tools), tool_choice=choice)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the milliseconds of the processor that it took in this thread."""
    started = time.thread_time()
    result = call()
    return result, 1000 * (time.thread_time() - started)


def resident_bytes() -> int:
    """The process's memory now."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return float(np.percentile(values, 99))


def main(only: Annotated[str, typer.Option(help="Only sets whose names have this in them.")] = "") -> None:
    """Print what each set costs and what the whole corpus does; exit with 1 if a bound is broken."""
    console = Console()
    broken = []
    for vocabulary_name, family_id in PAIRS:
        with ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn")
        ) as pool:  # memory that another freed is no gain
            table, figures = pool.submit(measure, vocabulary_name, family_id, only).result()
        console.print(table)
        for what, value in figures.items():
            most, unit = BOUNDS.get(what, (float("inf"), ""))
            console.print(
                f"{family_id}: {what}: {value:.4g} {unit}" + (f", at most {most:g}" if what in BOUNDS else "")
            )
            if value > most:
                broken.append(f"{family_id}: {what} is {value:.4g} {unit}; the bound is {most:g} {unit}")
    for each in broken:
        console.print(f"[red]{each}")
    raise typer.Exit(1 if broken else 0)


def measure(vocabulary_name: str, family_id: str, only: str) -> tuple[Table, dict[str, float]]:
    """The table and the figures of one vocabulary and family."""
    chosen = [each for each in USABLE if only in each.name]
    with Model(real_vocabulary(vocabulary_name), vocab_only=True) as model:
        bench = Bench(model.vocabulary, get_family(family_id))
        start = resident_bytes()
        costs = {(each.name, choice): bench.cost(each, choice) for choice in CHOICES for each in chosen}
        kept = (resident_bytes() - start) / 1e6
        alone, beside = bench.beside(max(chosen, key=lambda each: len(json.dumps(each.tools))))
    return table_of(f"{vocabulary_name}, {family_id}", costs), found(costs, kept, alone, beside)


def table_of(title: str, costs: dict[tuple[str, str], Cost]) -> Table:
    """A row for each set and choice."""
    table = Table("tool set", "choice", "cold ms", "warm ms", "MB", "steps", "mask p50", "p99", "max", title=title)
    for (name, choice), cost in costs.items():
        masks = (f"{np.median(cost.mask):.2f}", f"{p99(cost.mask):.2f}", f"{max(cost.mask):.2f}")
        sizes = (f"{cost.cold:.0f}", f"{cost.warm:.2f}", f"{cost.memory:.1f}", str(len(cost.mask)))
        table.add_row(name, choice, *sizes, *masks)
    return table


def found(costs: dict[tuple[str, str], Cost], kept: float, alone: list[float], beside: list[float]) -> dict[str, float]:
    """The figures of one family: those that BOUNDS has a bound for, and some to compare them with."""

    def steps(name: str, choice: str | None = None) -> list[float]:
        return [ms for (_, each), cost in costs.items() if choice in (None, each) for ms in getattr(cost, name)]

    return {
        "cold": max(cost.cold for cost in costs.values()),
        "warm": max(cost.warm for cost in costs.values()),
        "mask, required, steps": len(steps("mask", "required")),
        "mask, required, p50": float(np.median(steps("mask", "required"))),
        "mask, required, p99": p99(steps("mask", "required")),
        "mask, auto, steps": len(steps("mask", "auto")),
        "mask, auto, p50": float(np.median(steps("mask", "auto"))),
        "mask, auto, p99": p99(steps("mask", "auto")),
        "mask, one set, p99": max(p99(cost.mask) for cost in costs.values()),
        "allows, auto, steps": len(steps("allows", "auto")),
        "allows, auto, p50": float(np.median(steps("allows", "auto"))),
        "allows, auto, p99": p99(steps("allows", "auto")),
        "allows, max": max(steps("allows")),
        "mask, max": max(steps("mask")),
        "accept, p99": p99(steps("accept")),
        "forced, p99": p99(steps("forced")),
        "memory of a set": max(cost.memory for cost in costs.values()),
        f"memory of {MAX_SETS} sets": kept,
        "mask alone, p99": p99(alone),
        "mask beside a compilation, p99": p99(beside),
        "mask beside a compilation, max": max(beside),
        "masks beside a compilation": len(beside),
    }


if __name__ == "__main__":
    typer.run(main)
