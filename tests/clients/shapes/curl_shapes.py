"""curl: a call whole and streamed in each dialect, and an error's status, as a shell script would ask."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from check import ASKED, MODEL, URL, report, tried

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Tells the weather.", "parameters": SCHEMA}
MESSAGES = [{"role": "user", "content": ASKED}]
CHAT = {"messages": MESSAGES, "tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"}
RESPONSES = {"input": ASKED, "tools": [{"type": "function", **FUNCTION}], "tool_choice": "required"}
TOOL = {"name": "get_weather", "description": "Tells the weather.", "input_schema": SCHEMA}
ANTHROPIC = {"messages": MESSAGES, "tools": [TOOL], "tool_choice": {"type": "any"}, "max_tokens": 100}


def curl(path: str, body: dict[str, Any], *options: str) -> str:
    data = json.dumps({"model": MODEL, "temperature": 0, **body})
    command = ["curl", "-sS", *options, f"{URL}/{path}", "-H", "Content-Type: application/json", "-d", data]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


def streamed(path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    lines = curl(path, {**body, "stream": True}, "-N").splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


def chat() -> bool:
    (call,) = json.loads(curl("chat/completions", CHAT))["choices"][0]["message"]["tool_calls"]
    return json.loads(call["function"]["arguments"]) == {"city": "Paris"}


def chat_streamed() -> bool:
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed("chat/completions", CHAT) if chunk["choices"]]
    pieces = [call["function"].get("arguments") or "" for delta in deltas for call in delta.get("tool_calls") or ()]
    return json.loads("".join(pieces)) == {"city": "Paris"}


def responses() -> bool:
    (call,) = json.loads(curl("responses", RESPONSES))["output"]
    return json.loads(call["arguments"]) == {"city": "Paris"}


def responses_streamed() -> bool:
    pieces = [event for event in streamed("responses", RESPONSES) if event["type"].endswith("arguments.delta")]
    return json.loads("".join(piece["delta"] for piece in pieces)) == {"city": "Paris"}


def messages() -> bool:
    (call,) = json.loads(curl("messages", ANTHROPIC))["content"]
    return call["input"] == {"city": "Paris"}


def messages_streamed() -> bool:
    deltas = [event["delta"] for event in streamed("messages", ANTHROPIC) if event["type"] == "content_block_delta"]
    return json.loads("".join(delta["partial_json"] for delta in deltas)) == {"city": "Paris"}


def refused() -> bool:
    status = curl("chat/completions", {"messages": []}, "-o", "/dev/null", "-w", "%{http_code}")
    return status == "400"


for attempt in (chat, chat_streamed, responses, responses_streamed, messages, messages_streamed, refused):
    tried(attempt.__name__, attempt)
report()
