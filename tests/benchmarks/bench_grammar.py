"""What the grammar of many tools costs: characters, and the time to compile it.

    python tests/benchmarks/bench_grammar.py model.gguf --family qwen2.5

The tools are invented: eight arguments each, half of them nested, described as real ones are. Only the model's
vocabulary is read.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from chat_templates import get_family
from server.chat.schemas.enforced import enforce_request
from server.engine.sampling.constraint import GrammarCompiler, GrammarError
from server.llama.model import Model

WORDS = ("city", "unit", "days", "mode", "point", "filters", "tags", "limit")


def invented_tool(i: int) -> dict[str, Any]:
    """One tool of eight arguments, about a kilobyte and a half of JSON."""
    point = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}, "required": ["x", "y"]}
    filters = {"type": "array", "items": {"type": "object", "properties": {"key": {"type": "string"}, "value": {}}}}
    kinds: list[dict[str, Any]] = [
        {"type": "string"},
        {"type": "string", "enum": [f"kind_{i}_{k}" for k in range(4)]},
        {"type": "integer", "minimum": 0, "maximum": 365},
        {"type": ["string", "null"], "enum": ["fast", "slow", None]},
        point,
        filters,
        {"type": "array", "items": {"type": "string"}},
        {"type": "integer"},
    ]
    described = "What this argument is for, said in a sentence as long as they usually are."
    properties = {f"{word}_{i}": {**kind, "description": described} for word, kind in zip(WORDS, kinds, strict=True)}
    parameters = {"type": "object", "properties": properties, "required": list(properties)[:3]}
    return {"type": "function", "function": {"name": f"tool_{i}", "description": described, "parameters": parameters}}


def main(
    model: Path,
    family: Annotated[str, typer.Option(help="The family whose grammar is built.")] = "qwen2.5",
) -> None:
    """Print a table of sizes and times."""
    table = Table("tools", "KB of JSON", "choice", "KB of grammar", "build ms", "compile ms")
    with Model(model, vocab_only=True) as weights:
        compiler = GrammarCompiler(weights.vocabulary)
        chosen = get_family(family)
        special = [marker for marker in chosen.output.markers if marker in weights.vocabulary.special]
        for n in (1, 10, 50, 100, 150, 200, 300):
            tools = [invented_tool(i) for i in range(n)]
            enforced = enforce_request(tools, "auto", None, ()).in_grammar(tools)
            for choice in ("required", "auto"):
                started = time.perf_counter()
                lark = chosen.grammar(enforced, choice, special_tokens=special) or ""
                built = time.perf_counter()
                try:
                    compiler.compile(lark)
                    compiled = f"{1000 * (time.perf_counter() - built):.0f}"
                except GrammarError as error:
                    compiled = error.message[-75:]
                row = (n, f"{len(json.dumps(tools)) / 1000:.0f}", choice, f"{len(lark) / 1000:.0f}")
                table.add_row(*map(str, row), f"{1000 * (built - started):.0f}", compiled)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
