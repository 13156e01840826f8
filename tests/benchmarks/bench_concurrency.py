"""Four requests at once against the same four one after another, over HTTP, in pairs: plain chats, and tool calls.

    python tests/benchmarks/bench_concurrency.py --url http://127.0.0.1:8000/v1 --rounds 3

Greedy. Every round's prompts begin with words of their own, so that nothing is cached from the round before, and its
chats are about something else: recent answers serve as drafts, and nobody asks for the same four texts eight times. The
tool calls of a round share one tools prompt of about two thousand tokens, cold at the beginning of either way.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

TOPICS = (
    "how the sea makes waves",
    "how bread is made",
    "why the sky is blue",
    "what a prime number is",
    "how a bridge carries its load",
    "why leaves turn red",
    "what a library is for",
    "how bees find their way",
    "how a clock keeps time",
    "what makes a good friend",
    "why volcanoes erupt",
    "how paper is made",
    "what a parliament does",
    "how birds fly",
    "why iron rusts",
    "how a piano makes its sound",
    "what money is",
    "how rivers shape the land",
    "why we sleep",
    "how glass is blown",
    "what a shadow is",
    "how vaccines work",
    "why languages change",
    "how a ship floats",
    "what a garden needs",
    "how stars are born",
    "why onions make us cry",
    "how a letter is delivered",
    "what fair play means",
    "how wool becomes cloth",
    "why deserts are dry",
    "how a camera sees",
)
CITIES = ("Paris", "Rome", "Oslo", "Lima")
FILLER = "Looks a thing up in the archive and tells when it was filed, by whom, and under which number it stands. "


def chats(turn: int) -> list[dict[str, Any]]:
    """Four plain chats of at most a hundred tokens, about other topics than the seven turns before."""
    topics = [TOPICS[(4 * turn + i) % len(TOPICS)] for i in range(4)]
    return [
        {"messages": [{"role": "user", "content": f"Turn {turn}. Write a long text about {topic}."}], "max_tokens": 100}
        for topic in topics
    ]


def calls(turn: int) -> list[dict[str, Any]]:
    """Four tool calls that share a long tools prompt."""
    salt = f"Turn {turn}"
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [
        {"type": "function", "function": {"name": name, "description": f"{salt}. {text}", "parameters": city}}
        for name, text in [("get_weather", "The weather"), *((f"lookup_{i}", FILLER * 4) for i in range(16))]
    ]
    choice = {"type": "function", "function": {"name": "get_weather"}}
    return [
        {
            "messages": [{"role": "user", "content": f"What is the weather in {city}?"}],
            "tools": tools,
            "tool_choice": choice,
        }
        for city in CITIES
    ]


class Client:
    """Asks one server, greedily."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=600)
        self._model = self._http.get("models").raise_for_status().json()["data"][0]["id"]

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """The completion."""
        response = self._http.post("chat/completions", json={"model": self._model, "temperature": 0} | body)
        completion: dict[str, Any] = response.raise_for_status().json()
        return completion

    def one_after_another(self, bodies: list[dict[str, Any]]) -> tuple[float, list[dict[str, Any]]]:
        """Seconds, and the completions."""
        started = time.perf_counter()
        answers = [self.ask(body) for body in bodies]
        return time.perf_counter() - started, answers

    def at_once(self, bodies: list[dict[str, Any]]) -> tuple[float, list[dict[str, Any]]]:
        """Seconds, and the completions."""
        started = time.perf_counter()
        with ThreadPoolExecutor(len(bodies)) as pool:
            answers = list(pool.map(self.ask, bodies))
        return time.perf_counter() - started, answers


def what_was_said(completion: dict[str, Any]) -> Any:
    """The content or the calls, without ids."""
    message = completion["choices"][0]["message"]
    return message["content"], [call["function"] for call in message.get("tool_calls") or []]


def main(
    url: Annotated[str, typer.Option(help="Base URL of an OpenAI-compatible server.")] = "http://127.0.0.1:8000/v1",
    only: Annotated[str, typer.Option(help="chats or calls; both if not given.")] = "",
    rounds: Annotated[int, typer.Option(help="Pairs of measurements.")] = 4,
) -> None:
    """Measure what batching and prefix sharing save."""
    client = Client(url)
    table = Table("workload", "one after another, s", "at once, s", "ratio", "same texts", "tokens")
    workloads = {"chats": ("4 plain chats", chats), "calls": ("4 calls, one tools prompt", calls)}
    for name, workload in [workloads[only]] if only else workloads.values():
        slow, fast, n_same, n_tokens = [], [], 0, 0
        for i in range(rounds):
            mine, others = workload(2 * i), workload(2 * i + 1)
            if i % 2:  # whoever is second finds the first one's cells in memory
                second, _ = client.at_once(others)
            first, expected = client.one_after_another(mine)
            if not i % 2:
                second, _ = client.at_once(others)
            # The same prompts again for the texts: what was computed in company must say what it said alone.
            _, told = client.at_once(mine)
            slow.append(first)
            fast.append(second)
            n_same += sum(what_was_said(a) == what_was_said(b) for a, b in zip(expected, told, strict=True))
            n_tokens += sum(a["usage"]["completion_tokens"] for a in expected)
        ratio = statistics.median(b / a for a, b in zip(slow, fast, strict=True))
        slow_s, fast_s = statistics.median(slow), statistics.median(fast)
        table.add_row(name, f"{slow_s:.2f}", f"{fast_s:.2f}", f"{ratio:.2f}", f"{n_same}/{4 * rounds}", str(n_tokens))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
