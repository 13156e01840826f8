"""How fast the parsers read: millions of characters a second of 1 MB texts, plain ones and ones without end.

    python tests/benchmarks/bench_parser.py --minimum 0.5

Fails if a family reads any of them slower than `--minimum`, whole or in pieces of four characters, as tokens come.
"""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer
from golden_cases import tools_named
from rich.console import Console
from rich.table import Table

from chat_templates import FAMILIES, get_family

N = 1_000_000
TOOLS = tools_named("get_weather")
SINGLE_TURN = ("xlam-1-fc",)  # takes no history that could show its calls
TEXTS = {
    "prose": "The weather in Paris is nice today, and 2 < 3 as ever. " * (N // 55),
    "JSON": json.dumps([{"a": i, "b": "text " * 3} for i in range(N // 40)]),
    "spaces": " " * N,
    "angles": "<" * N,
    "braces": "{" * N,
    "brackets": "[" * N,
    "parentheses": "(" * N,
    "fences": "```" * (N // 3),
    "markers": "<tool_call>" * (N // 11),
    "thoughts": "<think><tool_call>" * (N // 18),
    "tags": "<function=" * (N // 10),
    "recipients": ">>>" * (N // 3),
}


def long_call(family_id: str) -> str:
    """A call with a megabyte of escaped text in its arguments, as the family's template prints it."""
    arguments = json.dumps({"q": 'x y"z\n' * (N // 8)})
    call = {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    history = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    family = get_family(family_id)
    before = family.render(history[:1], TOOLS, add_generation_prompt=True)
    if family_id in SINGLE_TURN:
        start, end = family.output.call.around("get_weather")
        return start + arguments + end
    after = family.render(history, TOOLS, add_generation_prompt=False)
    n_common = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
    return after[n_common:]


def speed(family_id: str, text: str, size: int) -> float:
    """Millions of characters a second."""
    parser = get_family(family_id).parser(TOOLS)
    started = time.perf_counter()
    for i in range(0, len(text), size):
        parser.feed(text[i : i + size])
    parser.finish()
    return len(text) / (time.perf_counter() - started) / 1e6


def main(minimum: Annotated[float, typer.Option(help="Fail below this.")] = 0.0) -> None:
    """Measure every family on every text."""
    table = Table("family", *TEXTS, "call", "prose in pieces", title="million characters a second")
    slowest = float("inf")
    for family_id in FAMILIES:
        if family_id == "minitron":
            continue
        speeds = [speed(family_id, text, N) for text in (*TEXTS.values(), long_call(family_id))]
        speeds.append(speed(family_id, TEXTS["prose"][: N // 4], 4))
        slowest = min(slowest, *speeds)
        table.add_row(family_id, *(f"{value:.2f}" for value in speeds))
    Console(width=200).print(table)
    if slowest < minimum:
        raise SystemExit(f"the slowest is {slowest:.2f}, below {minimum}")


if __name__ == "__main__":
    typer.run(main)
