"""What it costs that an answer tells its decisions: the same greedy answers with and without, in turns.

python tests/benchmarks/bench_decisions.py model.gguf --family qwen2.5
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from chat_templates import get_family
from server.chat.answer.stream import fold
from server.chat.request import ChatRequest
from server.chat.service import ChatService
from server.engine.async_engine import AsyncEngine
from server.engine.runner import LlamaRunner
from server.engine.types import SamplingParams
from server.llama.context import Context
from server.llama.model import Model
from server.machine.cpu import choose_threads

GREEDY = SamplingParams(temperature=0.0)
CITY = {"type": "string", "description": "The city"}
PROPERTIES = {"city": CITY, "days": {"type": "integer"}, "unit": {"enum": ["celsius", "fahrenheit"]}}
TOOLS = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": text,
            "parameters": {"type": "object", "properties": PROPERTIES, "required": ["city", "days"]},
        },
    }
    for name, text in (("get_weather", "The weather of a city"), ("get_forecast", "The forecast for some days"))
)
CALL = ChatRequest(
    ({"role": "user", "content": "Will it rain in Oslo in the next 3 days?"},),
    TOOLS,
    "required",
    parallel_tool_calls=False,
    sampling=GREEDY,
)
TEXT = ChatRequest(
    ({"role": "user", "content": "Write a story about a robot."},), sampling=GREEDY, max_tokens=64, tool_choice="none"
)
REQUESTS = {"a call": CALL, "64 tokens of text": TEXT}


def main(
    path: Annotated[Path, typer.Argument(metavar="MODEL")],
    family: Annotated[str, typer.Option(help="The family whose form is asked for.")] = "qwen2.5",
    rounds: Annotated[int, typer.Option(help="Pairs of each kind of answer.")] = 20,
) -> None:
    """Print the medians of both, and the median of the ratios of pairs."""
    table = Table("answer", "without, ms", "with, ms", "with / without", title=path.stem)
    with Model(path) as model:
        n_threads = choose_threads(0)
        context = Context(model, n_ctx=4096, n_batch=512, n_seq_max=8, n_threads=n_threads, n_threads_batch=n_threads)
        engine = AsyncEngine(LlamaRunner(context), model.vocabulary, n_draft=0)  # drafts learn: no two answers alike
        try:
            service = ChatService(engine, get_family(family))
            for name, request in REQUESTS.items():
                pairs = asyncio.run(_pairs(service, request, rounds))
                without, told = (1000 * statistics.median(each) for each in zip(*pairs, strict=True))
                ratio = statistics.median(after / before for before, after in pairs)
                table.add_row(name, f"{without:.1f}", f"{told:.1f}", f"{ratio:.3f}")
        finally:
            engine.close()
    Console().print(table)


async def _pairs(service: ChatService, request: ChatRequest, rounds: int) -> list[tuple[float, float]]:
    """Seconds of each answer without and with its decisions, the first of a pair in turns; the first pair warms up."""
    told = replace(request, wants_decisions=True)
    pairs = []
    for i in range(rounds + 1):
        order = (request, told) if i % 2 else (told, request)
        seconds = {id(each): await _seconds(service, each) for each in order}
        pairs.append((seconds[id(request)], seconds[id(told)]))
    return pairs[1:]


async def _seconds(service: ChatService, request: ChatRequest) -> float:
    begun = time.perf_counter()
    await fold(await service.open(request))
    return time.perf_counter() - begun


if __name__ == "__main__":
    typer.run(main)
