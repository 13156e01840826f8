"""What a dialect costs: time to the first byte and per token of Responses and Messages beside chat completions.

The same greedy prose is streamed through each dialect in turn, over and over, by one client of a server that runs.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from typing import Annotated, Any

import httpx
import typer

QUESTION = "Tell a long story about a lighthouse keeper and a storm."
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def bodies(max_tokens: int) -> Mapping[str, tuple[str, dict[str, Any]]]:
    """The route and the body of each dialect. The prompts are one: a tool is offered and not called."""
    messages = [{"role": "user", "content": QUESTION}]
    function = {"name": "get_weather", "description": "Tells the weather.", "parameters": TOOL}
    tool = {"name": function["name"], "description": function["description"], "input_schema": TOOL}
    common = {"model": "any", "stream": True, "temperature": 0}
    return {
        "chat": (
            "/v1/chat/completions",
            {
                **common,
                "messages": messages,
                "max_tokens": max_tokens,
                "tools": [{"type": "function", "function": function}],
                "tool_choice": "none",
            },
        ),
        "responses": (
            "/v1/responses",
            {
                **common,
                "input": QUESTION,
                "max_output_tokens": max_tokens,
                "store": False,
                "tools": [{"type": "function", **function}],
                "tool_choice": "none",
            },
        ),
        "messages": (
            "/v1/messages",
            {
                **common,
                "messages": messages,
                "max_tokens": max_tokens,
                "tools": [tool],
                "tool_choice": {"type": "none"},
            },
        ),
    }


def stream(client: httpx.Client, route: str, body: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds to the first byte that holds a piece of the answer, and from there to the end."""
    begin = time.perf_counter()
    first = None
    with client.stream("POST", route, json=body) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if first is None and line.startswith("data: ") and _has_text(line.removeprefix("data: ")):
                first = time.perf_counter()
    end = time.perf_counter()
    assert first is not None, "an answer has text"
    return 1000 * (first - begin), 1000 * (end - first)


def _has_text(data: str) -> bool:
    if data == "[DONE]":
        return False
    told = json.loads(data)
    if told.get("type") in ("response.output_text.delta", "content_block_delta"):
        return True
    choices = told.get("choices") or [{}]
    return bool(choices[0].get("delta", {}).get("content"))


def main(
    url: Annotated[str, typer.Option(help="Of the server.")] = "http://127.0.0.1:8000",
    rounds: Annotated[int, typer.Option(help="How often each dialect is asked.")] = 15,
    max_tokens: Annotated[int, typer.Option(help="Of an answer.")] = 200,
) -> None:
    """Print medians, and the medians of ratios to chat completions within a round."""
    asked = bodies(max_tokens)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    with httpx.Client(base_url=url, timeout=600) as client:
        for route, body in asked.values():  # the prompt is in the cache from here on
            stream(client, route, body)
        for i in range(rounds):
            names = list(asked)
            for name in names[i % 3 :] + names[: i % 3]:
                taken[name].append(stream(client, *asked[name]))
    for name, pairs in taken.items():
        first, rest = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios = [
            statistics.median(pair[k] / beside[k] for pair, beside in zip(pairs, taken["chat"], strict=True))
            for k in (0, 1)
        ]
        typer.echo(
            f"{name}: first {first:.1f} ms, then {rest / max_tokens:.2f} ms a token; "
            f"{ratios[0]:.3f} and {ratios[1]:.3f} of chat completions"
        )


if __name__ == "__main__":
    typer.run(main)
