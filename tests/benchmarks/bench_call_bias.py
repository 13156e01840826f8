"""How often an answer would begin as a call under each `call_bias`: relevant requests against irrelevant ones.

    python tests/benchmarks/bench_call_bias.py model.gguf --count 50

One prefill of each BFCL prompt gives the logits of the answer's first token; the margin between the likeliest token
that begins a call and the likeliest other one says from which offset on the greedy answer begins as a call. Later
tokens can still make text of it, or a call of text: ask the server for that (`make bench ARGS='--call-bias=3'`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from benchmarks.bench_bfcl import cases, unpacked_wheel
from rich.console import Console
from rich.table import Table

from chat_templates import detect_family
from server.chat.decisions.beginnings import DecisionTokens
from server.chat.prompt import tokenize_prompt
from server.engine.runner import LlamaRunner, Run
from server.llama.context import Context
from server.llama.model import Model

BATCH = 512


class FirstToken:
    """The logits of an answer's first token, prompt by prompt."""

    def __init__(self, model: Model, n_threads: int) -> None:
        self._runner = LlamaRunner(
            Context(model, n_ctx=4096, n_batch=BATCH, n_seq_max=1, n_threads=n_threads, n_threads_batch=n_threads)
        )

    def logits(self, tokens: list[int]) -> np.ndarray:
        """Shape `[n_vocab]`, after these tokens and nothing else."""
        self._runner.free(0)
        for start in range(0, len(tokens), BATCH):
            piece = np.array(tokens[start : start + BATCH], dtype=np.int32)
            self._runner.run([Run(0, start, piece, int(start + len(piece) == len(tokens)))])
        return self._runner.logits(0)


def main(
    path: Annotated[Path, typer.Argument(help="A GGUF file.")],
    count: Annotated[int, typer.Option(help="The first so many cases of each category.")] = 50,
    category: Annotated[list[str] | None, typer.Option(help="A BFCL category; may be given often.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Write the margins here.")] = None,
) -> None:
    """Print the share of prompts whose answer begins as a call, by offset."""
    model = Model(path)
    vocabulary = model.vocabulary
    eos_token = vocabulary.pieces[vocabulary.eos].decode("utf-8", "replace")
    family = detect_family(model.metadata)
    family = family.fitted(model.chat_template, bos_token=vocabulary.bos or "", eos_token=eos_token)
    finder, first = DecisionTokens(vocabulary, None), FirstToken(model, threads)
    margins: dict[str, list[float]] = {}
    for name in category or ["simple_python", "multiple", "live_simple", "irrelevance", "live_irrelevance"]:
        margins[name] = []
        for _, messages, tools, _, _ in cases(unpacked_wheel(), name, count):
            row = first.logits(tokenize_prompt(vocabulary, family.prompt(messages, tools), param="messages"))
            begins = np.zeros(len(row), dtype=bool)
            begins[list(finder.decision(family.call_beginnings(tools), 0.0).tokens)] = True
            margins[name].append(float(row[begins].max() - row[~begins].max()))
    table = Table("call_bias", *margins, title=f"answers that begin as a call: {path.name}, family {family.id}")
    for offset in range(-4, 6):
        shares = [np.mean(np.array(values) + offset > 0) for values in margins.values()]
        table.add_row(str(offset), *(f"{share:.0%}" for share in shares))
    Console().print(table)
    if json_file is not None:
        json_file.write_text(json.dumps(margins) + "\n")


if __name__ == "__main__":
    typer.run(main)
