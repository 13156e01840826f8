"""How well a chat service calls: requests of ours, put to it greedily, and how many are answered right.

Knows chat services and requests; no setting and no model. The law: an answer is read only as far as it decides: text
that is no call is cut, since what it goes on to say changes nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.chat.request import ChatRequest
from server.engine.types import SamplingParams

if TYPE_CHECKING:
    from server.calls.requests import Asked
    from server.chat.service import ChatService

N_AT_ONCE = 4
MAX_TOKENS = 200
_DECIDED = 60  # characters of text: what has no call in it by then is text


@dataclass(slots=True)
class Score:
    """Counts by kind of request: how many there were, were answered right, and became calls."""

    n: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    called: Counter[str] = field(default_factory=Counter)

    def add(self, asked: Asked, calls: Sequence[tuple[str, Any]]) -> None:
        """Count one answer."""
        self.n[asked.kind] += 1
        self.right[asked.kind] += asked.is_answered_by(calls)
        self.called[asked.kind] += bool(calls)

    def with_more(self, other: Score) -> Score:
        """The counts of both."""
        return Score(self.n + other.n, self.right + other.right, self.called + other.called)

    def share(self, kinds: Iterable[str]) -> float:
        """The mean share of right answers over these kinds, of those that were asked."""
        shares = [self.right[kind] / self.n[kind] for kind in kinds if self.n[kind]]
        return sum(shares) / len(shares) if shares else 0.0


async def trial(
    chat: ChatService, requests: Sequence[Asked], *, choice: str = "auto", call_biases: Sequence[float] = (0.0,)
) -> dict[float, Score]:
    """The score of each offset. A request is put with all of them in turn, so that its prompt is read once."""
    scores = {bias: Score() for bias in call_biases}
    waiting = iter(requests)

    async def ask() -> None:
        for asked in waiting:
            for bias, score in scores.items():
                score.add(asked, await calls_of(chat, asked, choice, bias))

    await asyncio.gather(*(ask() for _ in range(N_AT_ONCE)))
    return scores


async def calls_of(chat: ChatService, asked: Asked, choice: str, call_bias: float) -> list[tuple[str, Any]]:
    """The calls of the answer to one request: names and arguments, None for those that are no JSON."""
    greedy = SamplingParams(temperature=0.0)
    request = ChatRequest(
        asked.messages, asked.tools, choice, sampling=greedy, max_tokens=MAX_TOKENS, call_bias=call_bias
    )
    stream = await chat.open(request)
    calls: dict[int, list[str]] = {}
    n_text = 0
    try:
        async for delta in stream:
            n_text += len(delta.content or "")
            if delta.tool_call is not None:
                name, arguments = delta.tool_call.name or "", delta.tool_call.arguments
                calls.setdefault(delta.tool_call.index, []).extend((name, arguments))
            if n_text > _DECIDED and not calls:
                break
    finally:
        await stream.aclose()
    return [(pieces[0], _json("".join(pieces[1:]))) for pieces in calls.values()]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
