"""Writes text completions in OpenAI's wire shape: one `text_completion`, or the chunks that add up to it.

Pure: pieces in, JSON values out. `n` answers to each prompt stand together, the prompts in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.api.chat.answer import AnswerHead, usage
from server.engine.types import GenerationUsage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from server.engine.types import GenerationChunk

KIND = "text_completion"


class TextChunkWriter:
    """Turns the numbered pieces of all answers into chunks, in order."""

    def __init__(self, head: AnswerHead, *, n: int, n_answers: int, include_usage: bool) -> None:
        self._head = head
        self._n = n
        self._n_answers = n_answers
        self._include_usage = include_usage
        self._counts: dict[int, GenerationUsage] = {}

    def write(self, numbered: tuple[int, GenerationChunk]) -> list[dict[str, Any]]:
        """The chunks for one more piece: none, one, or the last two."""
        i, piece = numbered
        chunks = []
        if piece.text or piece.finish_reason is not None:
            chunk = {**self._head.fields(KIND), "choices": [_choice(i, piece.text, piece.finish_reason)]}
            chunks.append({**chunk, "usage": None} if self._include_usage else chunk)
        if piece.usage is not None:
            self._counts[i] = piece.usage
            if self._include_usage and len(self._counts) == self._n_answers:
                chunks.append(
                    {**self._head.fields(KIND), "choices": [], "usage": usage(total_usage(self._counts, self._n))}
                )
        return chunks


async def text_completion(
    head: AnswerHead, pieces: AsyncIterator[tuple[int, GenerationChunk]], *, n: int
) -> dict[str, Any]:
    """The `text_completion` of exhausted pieces. Raises what they raise."""
    texts: dict[int, list[str]] = {}
    reasons: dict[int, str] = {}
    counts: dict[int, GenerationUsage] = {}
    async for i, piece in pieces:
        texts.setdefault(i, []).append(piece.text)
        if piece.finish_reason is not None:
            assert piece.usage is not None, "the end has the usage"
            reasons[i], counts[i] = piece.finish_reason, piece.usage
    choices = [_choice(i, "".join(texts[i]), reasons[i]) for i in sorted(reasons)]
    return {**head.fields(KIND), "choices": choices, "usage": usage(total_usage(counts, n))}


def total_usage(counts: Mapping[int, GenerationUsage], n: int) -> GenerationUsage:
    """The counts of all answers together; a prompt that was answered `n` times counts once, as at OpenAI."""
    prompts = [count for i, count in counts.items() if i % n == 0]
    return GenerationUsage(
        prompt=sum(count.prompt for count in prompts),
        cached=sum(count.cached for count in prompts),
        completion=sum(count.completion for count in counts.values()),
        forced=sum(count.forced for count in counts.values()),
        decode_steps=sum(count.decode_steps for count in counts.values()),
    )


def _choice(i: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"index": i, "text": text, "logprobs": None, "finish_reason": finish_reason}
