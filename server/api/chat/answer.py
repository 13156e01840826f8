"""Writes answers in OpenAI's wire shapes: one `chat.completion`, or its `chat.completion.chunk`s.

Pure: deltas and results in, JSON values out. The law: what the chunks add up to is the whole answer, field by
field; role, and each call's id, type and name, come exactly once, because clients concatenate strings.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.api.request.custom import InputText, input_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.api.request.ignored import Ignored
    from server.chat.decisions.report import Decisions
    from server.chat.request import AnswerWarning, ChatDelta, ChatResult, ToolCallDelta, ToolCallResult
    from server.engine.types import GenerationUsage


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What every piece of one answer repeats, and what of its request was `ignored`, which its end tells.

    `created` is in seconds since 1970. `custom` are the names of custom tools.
    """

    model: str
    created: int
    fingerprint: str
    ignored: tuple[Ignored, ...] = ()
    custom: frozenset[str] = frozenset()
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")

    def fields(self, kind: str) -> dict[str, Any]:
        """The head's fields for an object of the kind."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def completion(head: AnswerHead, result: ChatResult) -> dict[str, Any]:
    """The `chat.completion` of a whole answer.

    `finish_reason` is "tool_calls" whenever there are calls, also when one function was forced by name.
    """
    content = result.content if result.content is not None or result.tool_calls else ""
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    if result.reasoning is not None:
        message["reasoning_content"] = result.reasoning
    if result.tool_calls:
        message["tool_calls"] = [_whole_call(call, head.custom) for call in result.tool_calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": result.finish_reason,
    }
    whole = {**head.fields("chat.completion"), "choices": [choice], "usage": usage(result.usage)}
    return _with_extensions(whole, (*head.ignored, *result.warnings), result.decisions)


def usage(counts: GenerationUsage) -> dict[str, Any]:
    """OpenAI's usage object and, under `functiongate`, what only this engine counts."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "functiongate": {"decode_steps": counts.decode_steps, "forced_tokens": counts.forced},
    }


class ChunkWriter:
    """Turns the deltas of one answer into its chunks, in order.

    White space in front of the first word is held until the word comes: an answer that is only calls has null
    content, streamed or not.
    """

    def __init__(self, head: AnswerHead, *, include_usage: bool) -> None:
        self._head = head
        self._include_usage = include_usage
        self._has_begun = False
        self._has_content = False
        self._has_calls = False
        self._held = ""
        self._inputs: dict[int, InputText] = {}  # of the calls of custom tools by their index

    def write(self, delta: ChatDelta) -> list[dict[str, Any]]:
        """The chunks for one more delta: none, one, or the last two."""
        chunks = []
        if delta.content is not None and (text := self._release(delta.content)):
            chunks.append(self._chunk({"content": text}))
        if delta.reasoning:
            chunks.append(self._chunk({"reasoning_content": delta.reasoning}))
        if delta.tool_call is not None:
            self._has_calls = True
            if (call := self._tool_call(delta.tool_call)) is not None:
                chunks.append(self._chunk({"tool_calls": [call]}))
        if delta.finish_reason is not None:
            is_empty = not (self._has_content or self._has_calls)
            last = self._chunk({"content": ""} if is_empty else {}, delta.finish_reason)
            chunks.append(_with_extensions(last, (*self._head.ignored, *delta.warnings), delta.decisions))
            if self._include_usage and delta.usage is not None:
                head = self._head.fields("chat.completion.chunk")
                chunks.append({**head, "choices": [], "usage": usage(delta.usage)})
        return chunks

    def _tool_call(self, delta: ToolCallDelta) -> dict[str, Any] | None:
        """A piece of a call: the keys in OpenAI's order, all in the first one. None for a piece that adds nothing."""
        head = {"index": delta.index} if delta.id is None else {"index": delta.index, "id": delta.id}
        if delta.name in self._head.custom:
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

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        if not self._has_begun:
            self._has_begun = True
            delta = {"role": "assistant", "content": None, "refusal": None, **delta}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._head.fields("chat.completion.chunk"), "choices": [choice]}
        return {**chunk, "usage": None} if self._include_usage else chunk


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
