"""Writes answers as events of a message, or as the one message that they add up to.

Pure: deltas in, JSON values out. Laws: blocks come one after the other, each started, filled and stopped; a whole
message is the fold of its events and nothing else.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from server.api.messages.history import ID_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from server.api.messages.places import Places
    from server.api.request.ignored import Ignored
    from server.chat.request import AnswerWarning, ChatDelta, ToolCallDelta
    from server.engine.types import GenerationUsage

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MessageHead:
    """What an answer is told with beside what the model writes.

    `max_tokens` is what the request allowed; `ignored` is told at the end; `places` are those of the request. Without
    `shows_thoughts` a thought is told to be there, and not what it is.
    """

    model: str
    max_tokens: int
    places: Places
    ignored: tuple[Ignored, ...] = ()
    shows_thoughts: bool = True
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")


class MessageWriter:
    """Turns the deltas of one answer into its events, in order.

    White space in front of a block's first word is held until the word comes, and dropped if none does: no block of
    text is blank. An answer of nothing has one empty block, since clients take the first; one that had to be of no
    tokens has none.
    """

    def __init__(self, head: MessageHead, n_prompt: int) -> None:
        self._head = head
        self._n_prompt = n_prompt
        self._n_blocks = 0
        self._open: str | None = None
        self._held = ""

    def start(self) -> Event:
        """The event before anything is generated. How much of the prompt was found in memory is not known yet."""
        message: Event = {
            "id": self._head.id,
            "type": "message",
            "role": "assistant",
            "model": self._head.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": _usage(self._n_prompt, 0, 0),
        }
        return {"type": "message_start", "message": message}

    def write(self, delta: ChatDelta) -> list[Event]:
        """The events for one more delta."""
        if self._head.max_tokens == 0:
            return [self._last(delta)] if delta.finish_reason is not None else []
        events: list[Event] = []
        if delta.reasoning:
            events += self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            if self._head.shows_thoughts:
                events.append(self._delta({"type": "thinking_delta", "thinking": delta.reasoning}))
        if delta.content:
            events += self._say(delta.content)
        if delta.tool_call is not None:
            events += self._call(delta.tool_call)
        if delta.finish_reason is not None:
            events += self._end(delta)
        return events

    def stop(self) -> Event:
        """The last event of all."""
        return {"type": "message_stop"}

    def _say(self, text: str) -> list[Event]:
        if self._open != "text":
            self._held += text
            if not self._held.strip():
                return []
            text = self._held
        return [*self._begin("text", {"type": "text", "text": ""}), self._delta({"type": "text_delta", "text": text})]

    def _call(self, call: ToolCallDelta) -> list[Event]:
        events: list[Event] = []
        if call.id is not None:
            block: Event = {"type": "tool_use", "id": told_id(call.id), "name": call.name, "input": {}}
            events += [*self._close(), *self._begin("tool_use", block)]
        if call.arguments:
            events.append(self._delta({"type": "input_json_delta", "partial_json": call.arguments}))
        return events

    def _end(self, delta: ChatDelta) -> list[Event]:
        empty = self._begin("text", {"type": "text", "text": ""}) if not self._n_blocks else []
        return [*empty, *self._close(), self._last(delta)]

    def _last(self, delta: ChatDelta) -> Event:
        counts = delta.usage
        assert counts is not None, "the end has the usage"
        reason = self._stop_reason(delta, counts)
        n_output = counts.completion if self._head.max_tokens else 0
        last: Event = {
            "type": "message_delta",
            "delta": {
                "stop_reason": reason,
                "stop_sequence": delta.stop if reason == "stop_sequence" else None,
                "stop_details": None,
            },
            "usage": _usage(counts.prompt - counts.cached, counts.cached, n_output),
        }
        # What was left out is named by its place in the body already.
        warnings = [warning.fields() for warning in self._head.ignored]
        if warnings := [*warnings, *(_warning(warning, self._head.places) for warning in delta.warnings)]:
            last["warnings"] = warnings
        if delta.decisions is not None:
            last["decisions"] = delta.decisions.fields()
        return last

    def _stop_reason(self, delta: ChatDelta, counts: GenerationUsage) -> str:
        if self._head.max_tokens == 0:
            return "max_tokens"
        if delta.finish_reason == "tool_calls":
            return "tool_use"
        if delta.finish_reason == "length":
            return "max_tokens" if counts.completion >= self._head.max_tokens else "model_context_window_exceeded"
        return "end_turn" if delta.stop is None else "stop_sequence"

    def _begin(self, kind: str, block: Event) -> list[Event]:
        """The events after which a block of this kind is open."""
        if self._open == kind:
            return []
        events = self._close()
        self._open, self._held = kind, ""
        self._n_blocks += 1
        return [*events, {"type": "content_block_start", "index": self._n_blocks - 1, "content_block": block}]

    def _close(self) -> list[Event]:
        if self._open is None:
            return []
        # Clients collect a signature and send it back; there is nothing to sign.
        signed = [self._delta({"type": "signature_delta", "signature": ""})] if self._open == "thinking" else []
        self._open = None
        return [*signed, {"type": "content_block_stop", "index": self._n_blocks - 1}]

    def _delta(self, delta: Event) -> Event:
        return {"type": "content_block_delta", "index": self._n_blocks - 1, "delta": delta}


def message(events: Iterable[Event]) -> Event:
    """The whole message that events add up to.

    The arguments of a call that was cut are what of them is whole, as the SDKs read them in a stream.
    """
    whole: Event = {}
    arguments: dict[int, str] = {}
    for event in events:
        match event:
            case {"type": "message_start", "message": head}:
                whole = {**head, "content": []}
            case {"type": "content_block_start", "content_block": block}:
                whole["content"].append(dict(block))
            case {
                "type": "content_block_delta",
                "index": i,
                "delta": {"type": "input_json_delta", "partial_json": text},
            }:
                arguments[i] = arguments.get(i, "") + text
            case {"type": "content_block_delta", "index": i, "delta": delta}:
                name = delta["type"].removesuffix("_delta")
                whole["content"][i][name] += delta[name]
            case {"type": "message_delta", "delta": delta, **more}:
                whole |= {**delta, **more}
    for i, text in arguments.items():
        whole["content"][i]["input"] = _parsed(text)
    return whole


def told_id(call_id: str) -> str:
    """The id of a call as clients of this dialect know ids."""
    return ID_PREFIX + call_id.removeprefix("call_")


def _parsed(arguments: str) -> Event:
    try:
        value = from_json(arguments, allow_partial=True)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _usage(n_input: int, n_cached: int, n_output: int) -> dict[str, int]:
    """What was found in memory is not among the input; writing to it costs nothing."""
    return {
        "input_tokens": n_input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": n_cached,
        "output_tokens": n_output,
    }


def _warning(warning: AnswerWarning, places: Places) -> dict[str, str]:
    fields = {
        name: places.told(value) if name in ("path", "message") else value for name, value in warning.fields().items()
    }
    return {**fields, "tool_call_id": told_id(fields["tool_call_id"])} if "tool_call_id" in fields else fields
