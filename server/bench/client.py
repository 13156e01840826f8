"""One streamed request, timed; and a round of them, closed or open loop.

Knows OpenAI's stream and a clock. What counts as the first token is the first piece of text, reasoning or call.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from server.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from server.bench.workload import Body, Session, Workload

TIMEOUT_S = 1800.0
# A connection for each request: a server may close an idle one just when it is used again.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)
# The long prompt of an arrival comes when the stream is well under way.
ARRIVAL_AFTER_S = 2.0


@dataclass(slots=True)
class Sample:
    """One answered request; times in seconds. `gaps` are those between pieces after the first."""

    ttft: float
    seconds: float
    gaps: list[float] = field(default_factory=list)
    n_prompt: int = 0
    n_cached: int = 0
    n_completion: int = 0
    has_call: bool = False


class Peer:
    """A server under measurement. `url` ends in /v1; `api_key` may be empty."""

    def __init__(self, url: str, *, api_key: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, headers=headers, limits=_LIMITS)
        self.model = ""

    async def connect(self) -> None:
        """Find out what the server calls its model. Raises `StartupError` if it does not answer."""
        try:
            response = await self._client.get(f"{self.url}/models")
            self.model = response.raise_for_status().json()["data"][0]["id"]
        except (httpx.HTTPError, ValueError, LookupError) as error:
            raise StartupError(f"{self.url} does not serve a model: {error or type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, body: Body) -> Sample:
        """Send one request and time its stream. Raises `StartupError` with the server's answer if it refuses."""
        wanted = {"model": self.model, **body, "stream": True, "stream_options": {"include_usage": True}}
        started = time.perf_counter()
        sample, last = Sample(ttft=0.0, seconds=0.0), 0.0
        async with self._client.stream("POST", f"{self.url}/chat/completions", json=wanted) as response:
            if response.status_code != httpx.codes.OK:
                answer = (await response.aread()).decode("utf-8", "replace")
                raise StartupError(f"{self.url} answered {response.status_code}: {answer[:500]}")
            async for chunk in _chunks(response):
                now = time.perf_counter() - started
                if chunk.get("error"):
                    raise StartupError(f"{self.url} failed: {chunk['error']}")
                if _has_piece(chunk):
                    if last:
                        sample.gaps.append(now - last)
                    else:
                        sample.ttft = now
                    last = now
                _note(sample, chunk)
        sample.seconds = time.perf_counter() - started
        sample.ttft = sample.ttft or sample.seconds
        return sample

    async def steps(self) -> tuple[float, float] | None:
        """Decode steps and generated tokens so far, where the server counts them as this one does."""
        try:
            response = await self._client.get(f"{self.url.removesuffix('/v1')}/metrics")
        except httpx.HTTPError:
            return None
        values = dict(
            line.split(" ", 1)
            for line in response.text.splitlines()
            if line.startswith("functiongate_") and " " in line
        )
        try:
            return (
                float(values["functiongate_decode_steps_total"]),
                float(values["functiongate_completion_tokens_total"]),
            )
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured. `seconds` is its wall time; `steps` decode steps and tokens, where they are known."""

    samples: tuple[Sample, ...]
    seconds: float
    steps: tuple[float, float] | None


async def run_round(peer: Peer, workload: Workload, warm: Session, sessions: list[Session], seed: int) -> Round:
    """Warm up, then do all sessions of a round; returns when every request is answered."""
    for body in warm:
        await peer.ask(body)
    before = await peer.steps()
    started = time.perf_counter()
    if workload.kind == "arrival":
        samples = await _arrival(peer, sessions)
    elif workload.rate is not None:
        samples = await _open_loop(peer, sessions, workload.rate, random.Random(seed))  # noqa: S311 -- arrivals, not secrets
    else:
        samples = await _closed_loop(peer, sessions, workload.clients)
    seconds = time.perf_counter() - started
    after = await peer.steps()
    steps = None if before is None or after is None else (after[0] - before[0], after[1] - before[1])
    return Round(tuple(samples), seconds, steps)


async def _closed_loop(peer: Peer, sessions: list[Session], n_clients: int) -> list[Sample]:
    waiting = iter(sessions)
    samples: list[Sample] = []

    async def client() -> None:
        for session in waiting:
            samples.extend([await peer.ask(body) for body in session])

    async with asyncio.TaskGroup() as clients:
        for _ in range(n_clients):
            clients.create_task(client())
    return samples


async def _open_loop(peer: Peer, sessions: list[Session], rate: float, rng: random.Random) -> list[Sample]:
    """Sessions arrive as a Poisson process, whether earlier ones are answered or not."""
    tasks = []
    async with asyncio.TaskGroup() as group:
        for session in sessions:
            tasks.append(group.create_task(_closed_loop(peer, [session], 1)))
            await asyncio.sleep(rng.expovariate(rate))
    return [sample for task in tasks for sample in task.result()]


async def _arrival(peer: Peer, sessions: list[Session]) -> list[Sample]:
    """The stream's sample only: what the newcomer did to it is in its gaps."""
    [stream], [newcomer] = sessions
    async with asyncio.TaskGroup() as group:
        streaming = group.create_task(peer.ask(stream))
        await asyncio.sleep(ARRIVAL_AFTER_S)
        group.create_task(peer.ask(newcomer))
    return [streaming.result()]


async def _chunks(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


def _has_piece(chunk: dict[str, Any]) -> bool:
    return any(
        choice.get("delta", {}).get(name)
        for choice in chunk.get("choices", ())
        for name in ("content", "reasoning_content", "tool_calls")
    )


def _note(sample: Sample, chunk: dict[str, Any]) -> None:
    if any(choice.get("delta", {}).get("tool_calls") for choice in chunk.get("choices", ())):
        sample.has_call = True
    if usage := chunk.get("usage"):
        sample.n_prompt, sample.n_completion = usage["prompt_tokens"], usage["completion_tokens"]
        sample.n_cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
