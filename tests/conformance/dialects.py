"""How clients of each dialect ask, read a stream, and fold it to what the whole answer would have been.

Knows the wire and no server: what it folds is made of the events alone. The law: a stream ends in its dialect's last
event, or the fold raises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from response_folding import fold as fold_items

CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "The weather of a city.", "parameters": CITY}
# What two answers to one request may differ in: names, times, and what was in memory already.
UNLIKE = frozenset(
    {
        *("id", "created", "created_at", "completed_at", "tool_call_id", "call_id", "request_id", "functiongate"),
        *("prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "cache_read_input_tokens"),
        *("input_tokens", "item_id"),
    }
)
Event = tuple[str | None, Any]


@dataclass(frozen=True)
class Ask:
    """One greedy request, in no dialect: what is said, how long the answer may be, and whether tools are offered."""

    said: str
    n_tokens: int
    choice: str | None = None  # None: no tools
    system: str | None = None


@dataclass(frozen=True)
class Dialect:
    """One dialect's wire. `fold` makes a body of the events of a stream; `said` is what every dialect tells alike."""

    path: str
    body: Callable[[Ask], dict[str, Any]]
    fold: Callable[[Sequence[Event]], dict[str, Any]]
    said: Callable[[dict[str, Any]], tuple[str, list[str], bool]]


def read_events(lines) -> list[Event]:
    """The events of a stream's lines as (name, data); comments are dropped. `[DONE]` stays a text."""
    return list(each_event(lines))


def each_event(lines):
    """One event after the other."""
    name = None
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
            yield name, data if data == "[DONE]" else json.loads(data)
        elif not line:
            name = None


def comparable(body: Any) -> Any:
    """A body without what two answers to one request may differ in."""
    if isinstance(body, dict):
        return {name: comparable(value) for name, value in body.items() if name not in UNLIKE}
    return [comparable(part) for part in body] if isinstance(body, list) else body


# --- OpenAI's completions ---


def chat_body(ask: Ask) -> dict[str, Any]:
    system = [] if ask.system is None else [{"role": "system", "content": ask.system}]
    body = {"messages": [*system, {"role": "user", "content": ask.said}], "max_tokens": ask.n_tokens, "temperature": 0}
    return (
        body
        if ask.choice is None
        else {**body, "tools": [{"type": "function", "function": WEATHER}], "tool_choice": ask.choice}
    )


def _chunks(events: Sequence[Event]) -> list[dict[str, Any]]:
    assert events[-1] == (None, "[DONE]"), events[-1:]
    chunks = [data for _, data in events[:-1]]
    assert not any("error" in chunk for chunk in chunks), chunks[-1]
    assert chunks[-1]["choices"] == []
    assert len({chunk["id"] for chunk in chunks}) == 1
    return chunks


def fold_chat(events: Sequence[Event]) -> dict[str, Any]:
    *chunks, last = _chunks(events)
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    reasons = []
    for chunk in chunks:
        (choice,) = chunk["choices"]
        delta = dict(choice["delta"])
        for piece in delta.pop("tool_calls", ()):
            call = calls.setdefault(piece["index"], {"function": {"arguments": ""}})
            call |= {name: piece[name] for name in ("id", "type") if name in piece}
            function = piece["function"]
            call["function"] |= {"name": function["name"]} if "name" in function else {}
            call["function"]["arguments"] += function["arguments"]
        for name, value in delta.items():
            message[name] = (message[name] or "") + value if isinstance(value, str) and name in message else value
        reasons += [choice["finish_reason"]] if choice["finish_reason"] else []
    (reason,) = reasons
    message |= {"annotations": []}
    if calls:
        message["tool_calls"] = [call for _, call in sorted(calls.items())]
    head = {name: chunks[0][name] for name in ("id", "created", "model", "system_fingerprint")}
    more = {name: value for chunk in chunks for name, value in chunk.items() if name in ("warnings", "decisions")}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": last["usage"], **more}


def chat_said(body: dict[str, Any]) -> tuple[str, list[str], bool]:
    choice = body["choices"][0]
    calls = choice["message"].get("tool_calls", [])
    return (
        choice["message"]["content"] or "",
        [call["function"]["name"] for call in calls],
        choice["finish_reason"] == "length",
    )


def text_body(ask: Ask) -> dict[str, Any]:
    return {"prompt": ask.said, "max_tokens": ask.n_tokens, "temperature": 0}


def fold_text(events: Sequence[Event]) -> dict[str, Any]:
    *chunks, last = _chunks(events)
    choices = [chunk["choices"][0] for chunk in chunks]
    (reason,) = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    text = "".join(choice["text"] for choice in choices)
    whole = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
    return {**chunks[0], "choices": [whole], "usage": last["usage"]}


def text_said(body: dict[str, Any]) -> tuple[str, list[str], bool]:
    return body["choices"][0]["text"], [], body["choices"][0]["finish_reason"] == "length"


# --- Anthropic's messages ---


def messages_body(ask: Ask) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": ask.said}], "max_tokens": ask.n_tokens, "temperature": 0}
    if ask.system is not None:
        body["system"] = [{"type": "text", "text": ask.system}]
    if ask.choice is None:
        return body
    tool = {"name": WEATHER["name"], "description": WEATHER["description"], "input_schema": CITY}
    kind = "any" if ask.choice == "required" else ask.choice
    return {**body, "tools": [tool], "tool_choice": {"type": kind}}


def fold_messages(events: Sequence[Event]) -> dict[str, Any]:
    assert all(name == data["type"] for name, data in events)
    told = [data for name, data in events if name != "ping"]
    assert told[-1] == {"type": "message_stop"}, told[-1]
    assert told[0]["type"] == "message_start"
    whole = {**told[0]["message"], "content": []}
    is_open, texts = False, {}
    for event in told[1:-1]:
        match event["type"]:
            case "content_block_start":
                assert not is_open
                assert event["index"] == len(whole["content"])
                whole["content"].append(dict(event["content_block"]))
                is_open = True
            case "content_block_delta":
                assert is_open
                assert event["index"] == len(whole["content"]) - 1
                kind, delta = event["delta"]["type"].removesuffix("_delta"), event["delta"]
                if kind == "input_json":
                    texts[event["index"]] = texts.get(event["index"], "") + delta["partial_json"]
                else:
                    whole["content"][-1][kind] += delta[kind]
            case "content_block_stop":
                is_open = False
            case "message_delta":
                assert not is_open
                whole |= event["delta"] | {
                    name: value for name, value in event.items() if name not in ("type", "delta")
                }
            case other:
                raise AssertionError(f"an event that nobody knows: {other}")
    for index, text in texts.items():
        whole["content"][index]["input"] = from_json(text, allow_partial=True)
    return whole


def messages_said(body: dict[str, Any]) -> tuple[str, list[str], bool]:
    text = "".join(block["text"] for block in body["content"] if block["type"] == "text")
    names = [block["name"] for block in body["content"] if block["type"] == "tool_use"]
    return text, names, body["stop_reason"] == "max_tokens"


# --- OpenAI's responses ---


def responses_body(ask: Ask) -> dict[str, Any]:
    body = {"input": ask.said, "max_output_tokens": ask.n_tokens, "temperature": 0, "store": False}
    if ask.system is not None:
        body["instructions"] = ask.system
    return (
        body if ask.choice is None else {**body, "tools": [{"type": "function", **WEATHER}], "tool_choice": ask.choice}
    )


def fold_responses(events: Sequence[Event]) -> dict[str, Any]:
    *told, last = events
    if last == (None, "[DONE]"):
        *told, last = told
    assert last[0] in ("response.completed", "response.incomplete"), last
    assert all(name == data["type"] for name, data in (*told, last))
    assert [data["sequence_number"] for _, data in (*told, last)] == [*range(len(told) + 1)]
    assert fold_items([data for _, data in (*told, last)]) == last[1]["response"]["output"]
    return last[1]["response"]


def responses_said(body: dict[str, Any]) -> tuple[str, list[str], bool]:
    parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    names = [item["name"] for item in body["output"] if item["type"] == "function_call"]
    return "".join(part["text"] for part in parts), names, body["status"] == "incomplete"


CHAT = Dialect("/v1/chat/completions", chat_body, fold_chat, chat_said)
TEXT = Dialect("/v1/completions", text_body, fold_text, text_said)
MESSAGES = Dialect("/v1/messages", messages_body, fold_messages, messages_said)
RESPONSES = Dialect("/v1/responses", responses_body, fold_responses, responses_said)
DIALECTS = (CHAT, TEXT, MESSAGES, RESPONSES)


def streamed(dialect: Dialect, body: dict[str, Any]) -> dict[str, Any]:
    """The same request for a stream, with what makes its fold whole."""
    options = {"stream_options": {"include_usage": True}} if dialect in (CHAT, TEXT) else {}
    return {**body, "stream": True, **options}
