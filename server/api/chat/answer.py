"""Writes answers in OpenAI's wire shapes: one `chat.completion`, or its `chat.completion.chunk`s.

Pure: deltas and results in, JSON values out. The law: what the chunks add up to is the whole answer, field by
field; role, and each call's id, type and name, come exactly once, because clients concatenate strings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.api.answer.head import AnswerHead, total_usage, usage
from server.api.answer.logprobs import chat_logprobs
from server.api.request.custom import InputText, input_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.chat.decisions.report import Decisions
    from server.chat.request import AnswerWarning, ChatDelta, ChatResult, ToolCallDelta, ToolCallResult
    from server.engine.types import GenerationUsage, TokenChoice


def completion(head: AnswerHead, results: Sequence[ChatResult], *, n_top: int | None = None) -> dict[str, Any]:
    """The `chat.completion` of whole answers to one prompt. `n_top` likeliest tokens are told in each token's place.

    `finish_reason` is "tool_calls" whenever there are calls, also when one function was forced by name.
    """
    choices = [_whole_choice(i, result, head.custom, n_top) for i, result in enumerate(results)]
    counts = total_usage({i: result.usage for i, result in enumerate(results)}, len(results))
    whole = {**head.fields("chat.completion"), "choices": choices, "usage": usage(counts)}
    warnings = [warning for result in results for warning in result.warnings]
    return _with_extensions(whole, (*head.ignored, *warnings), results[0].decisions)


def _whole_choice(i: int, result: ChatResult, custom: frozenset[str], n_top: int | None) -> dict[str, Any]:
    content = result.content if result.content is not None or result.tool_calls else ""
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    if result.reasoning is not None:
        message["reasoning_content"] = result.reasoning
    if result.tool_calls:
        message["tool_calls"] = [_whole_call(call, custom) for call in result.tool_calls]
    logprobs = None if n_top is None else chat_logprobs(result.tokens, n_top)
    return {"index": i, "message": message, "logprobs": logprobs, "finish_reason": result.finish_reason}


class ChunkWriter:
    """Turns the numbered deltas of `n` answers into their chunks, in order.

    All answers are begun in order, before the first word, each by a chunk that has its role alone: clients collect
    several in a list, and llama-server's take the first chunk for the beginning of a message, not for its text.
    """

    def __init__(self, head: AnswerHead, *, include_usage: bool, n: int = 1, n_top: int | None = None) -> None:
        self._head = head
        self._include_usage = include_usage
        self._choices = [_ChoiceWriter(head.custom, n_top) for _ in range(n)]
        self._has_begun = False
        self._counts: dict[int, GenerationUsage] = {}

    def write(self, numbered: tuple[int, ChatDelta]) -> list[dict[str, Any]]:
        """The chunks for one more delta: none, one, or the last two; those that begin several answers first."""
        i, delta = numbered
        chunks = [] if self._has_begun else [self._chunk(k, *each.begin()) for k, each in enumerate(self._choices)]
        self._has_begun = True
        chunks += [self._chunk(i, *piece) for piece in self._choices[i].write(delta)]
        if delta.usage is not None:
            self._counts[i] = delta.usage
        if delta.finish_reason is not None:
            is_last = len(self._counts) == len(self._choices)
            warnings = (*self._head.ignored, *delta.warnings) if is_last else delta.warnings
            chunks[-1] = _with_extensions(chunks[-1], warnings, delta.decisions)
            if is_last and self._include_usage:
                counts = total_usage(self._counts, len(self._choices))
                chunks.append({**self._head.fields("chat.completion.chunk"), "choices": [], "usage": usage(counts)})
        return chunks

    def _chunk(self, i: int, delta: dict[str, Any], logprobs: Any, finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": i, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        chunk = {**self._head.fields("chat.completion.chunk"), "choices": [choice]}
        return {**chunk, "usage": None} if self._include_usage else chunk


Piece = tuple[dict[str, Any], Any, str | None]
"""A choice's delta, its logprobs and its finish reason."""


class _ChoiceWriter:
    """The deltas of one answer, as the wire has them.

    White space in front of the first word is held until the word comes: an answer that is only calls has null
    content, streamed or not. Tokens wait for the next piece that is told.
    """

    def __init__(self, custom: frozenset[str], n_top: int | None) -> None:
        self._custom = custom
        self._n_top = n_top
        self._tokens: list[TokenChoice] = []
        self._has_content = False
        self._has_calls = False
        self._held = ""
        self._inputs: dict[int, InputText] = {}  # of the calls of custom tools by their index

    def begin(self) -> Piece:
        return {"role": "assistant", "content": None, "refusal": None}, None, None

    def write(self, delta: ChatDelta) -> list[Piece]:
        self._tokens += delta.tokens
        pieces = []
        if delta.content is not None and (text := self._release(delta.content)):
            pieces.append(self._piece({"content": text}))
        if delta.reasoning:
            pieces.append(self._piece({"reasoning_content": delta.reasoning}))
        if delta.tool_call is not None:
            self._has_calls = True
            if (call := self._tool_call(delta.tool_call)) is not None:
                pieces.append(self._piece({"tool_calls": [call]}))
        if delta.finish_reason is not None:
            if not (self._has_content or self._has_calls):
                pieces.append(self._piece({"content": ""}))
            pieces.append(self._piece({}, delta.finish_reason))  # some clients read nothing else of it
        return pieces

    def _piece(self, delta: dict[str, Any], finish_reason: str | None = None) -> Piece:
        tokens, self._tokens = self._tokens, []
        logprobs = chat_logprobs(tokens, self._n_top) if self._n_top is not None and tokens else None
        return delta, logprobs, finish_reason

    def _tool_call(self, delta: ToolCallDelta) -> dict[str, Any] | None:
        """A piece of a call: the keys in OpenAI's order, all in the first one. None for a piece that adds nothing."""
        head = {"index": delta.index} if delta.id is None else {"index": delta.index, "id": delta.id}
        if delta.name in self._custom:
            self._inputs[delta.index] = InputText()
        if delta.index in self._inputs:
            told = self._inputs[delta.index].feed(delta.arguments)
            if delta.id is None:
                return {**head, "custom": {"input": told}} if told else None
            return {**head, "type": "custom", "custom": {"name": delta.name, "input": told}}
        if delta.id is None:
            return {**head, "function": {"arguments": delta.arguments}}
        return {**head, "type": "function", "function": {"name": delta.name, "arguments": delta.arguments}}

    def _release(self, text: str) -> str:
        if self._has_content:
            return text
        self._held += text
        if not self._held.strip():
            return ""
        self._has_content = True
        return self._held


def _with_extensions(
    answer: dict[str, Any], warnings: Sequence[AnswerWarning], decisions: Decisions | None
) -> dict[str, Any]:
    """The answer with warnings and decisions, if there are any: extensions that OpenAI's clients carry along unread."""
    if warnings:
        answer = {**answer, "warnings": [warning.fields() for warning in warnings]}
    return answer if decisions is None else {**answer, "decisions": decisions.fields()}


def _whole_call(call: ToolCallResult, custom: frozenset[str]) -> dict[str, Any]:
    if call.name in custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": input_of(call.arguments)}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
