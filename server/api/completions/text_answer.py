"""Writes text completions in OpenAI's wire shape: one `text_completion`, or the chunks that add up to it.

Pure: pieces in, JSON values out. `n` answers to each prompt stand together, the prompts in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.api.answer.head import AnswerHead, total_usage, usage
from server.api.answer.logprobs import text_logprobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from server.engine.types import GenerationChunk, GenerationUsage, TokenChoice

KIND = "text_completion"


class TextChunkWriter:
    """Turns the numbered pieces of all answers into chunks, in order."""

    def __init__(
        self, head: AnswerHead, *, n: int, n_answers: int, include_usage: bool, n_top: int | None = None
    ) -> None:
        self._head = head
        self._n = n
        self._n_answers = n_answers
        self._include_usage = include_usage
        self._n_top = n_top
        self._tokens: dict[int, list[TokenChoice]] = {}
        self._counts: dict[int, GenerationUsage] = {}

    def write(self, numbered: tuple[int, GenerationChunk]) -> list[dict[str, Any]]:
        """The chunks for one more piece: none, one, or the last two."""
        i, piece = numbered
        chunks = []
        tokens = self._tokens.setdefault(i, [])
        tokens += piece.choices
        if piece.text or piece.finish_reason is not None:
            choice = _choice(i, piece.text, piece.finish_reason, tokens, self._n_top)
            self._tokens[i] = []
            chunk = {**self._head.fields(KIND), "choices": [choice]}
            chunks.append({**chunk, "usage": None} if self._include_usage else chunk)
        if piece.finish_reason is not None:  # what pieces before the end tell is what was counted so far
            assert piece.usage is not None, "the end has the usage"
            self._counts[i] = piece.usage
            if self._include_usage and len(self._counts) == self._n_answers:
                chunks.append(
                    {**self._head.fields(KIND), "choices": [], "usage": usage(total_usage(self._counts, self._n))}
                )
        return chunks


async def text_completion(
    head: AnswerHead, pieces: AsyncIterator[tuple[int, GenerationChunk]], *, n: int, n_top: int | None = None
) -> dict[str, Any]:
    """The `text_completion` of exhausted pieces. Raises what they raise."""
    texts: dict[int, list[str]] = {}
    tokens: dict[int, list[TokenChoice]] = {}
    reasons: dict[int, str] = {}
    counts: dict[int, GenerationUsage] = {}
    async for i, piece in pieces:
        texts.setdefault(i, []).append(piece.text)
        tokens.setdefault(i, []).extend(piece.choices)
        if piece.finish_reason is not None:
            assert piece.usage is not None, "the end has the usage"
            reasons[i], counts[i] = piece.finish_reason, piece.usage
    choices = [_choice(i, "".join(texts[i]), reasons[i], tokens[i], n_top) for i in sorted(reasons)]
    return {**head.fields(KIND), "choices": choices, "usage": usage(total_usage(counts, n))}


def _choice(
    i: int, text: str, finish_reason: str | None, tokens: Sequence[TokenChoice], n_top: int | None
) -> dict[str, Any]:
    logprobs = None if n_top is None else text_logprobs(tokens, n_top)
    return {"index": i, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
