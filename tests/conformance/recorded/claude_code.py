"""Requests in the shape that Claude Code sends to POST /v1/messages, by a seed.

The shape is that which its users have published: blocks of the system prompt behind a billing header, marks of a cache,
tools with their schemas, reminders as system messages in the middle and at the end, results with blocks. The words and
values are our own.
"""

from __future__ import annotations

import json
from typing import Any

from conformance.recorded.project import ANSWERED, ASKED, FILES, Project

MARK = {"type": "ephemeral"}
LONG_MARK = {"type": "ephemeral", "ttl": "1h"}
DRAFT = "http://json-schema.org/draft-07/schema#"


def request(seed: int) -> dict[str, Any]:
    """One request."""
    draw = Project(seed)
    tools = _tools(draw)
    body: dict[str, Any] = {
        "model": draw.choice(("claude-sonnet-4-6", "claude-haiku-4-5-20251001", "local")),
        "messages": _messages(draw, tools),
        "system": _system(draw),
        "tools": tools,
        "metadata": {"user_id": json.dumps({"device_id": draw.hex(64), "session_id": draw.uuid()})},
        "max_tokens": draw.choice((1024, 32000, 64000)),
        "stream": draw.chance(0.9),
    }
    body |= draw.choice(({}, {"temperature": 1}, {"temperature": 0}))
    body |= draw.choice(
        (
            {},
            {"thinking": {"type": "adaptive"}},
            {"thinking": {"type": "enabled", "budget_tokens": 31999}},
            {"thinking": {"type": "disabled"}},
        )
    )
    body |= draw.choice(({}, {"output_config": {"effort": "medium"}}, {"output_config": {"effort": "high"}}))
    if draw.chance(0.4):
        body["context_management"] = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    if draw.chance(0.2):
        body["tool_choice"] = {"type": "auto"}
    if draw.chance(0.1):
        body["diagnostics"] = {"previous_message_id": None}
    return body


def headers(seed: int) -> dict[str, str]:
    """What comes with it."""
    draw = Project(f"headers {seed}")
    return {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
        "anthropic-dangerous-direct-browser-access": "true",
        "authorization": "Bearer none",
        "user-agent": "claude-cli/2.1.197 (external, cli)",
        "x-app": "cli",
        "x-claude-code-session-id": draw.uuid(),
        "x-stainless-lang": "js",
        "x-stainless-retry-count": "0",
    }


def path(seed: int) -> str:
    """Where it is sent."""
    return "/v1/messages?beta=true" if seed % 10 else "/v1/messages"


def _marked(draw: Project, block: dict[str, Any], of: float = 0.3) -> dict[str, Any]:
    return {**block, "cache_control": draw.choice((MARK, LONG_MARK))} if draw.chance(of) else block


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _system(draw: Project) -> list[dict[str, Any]]:
    billing = f"x-anthropic-billing-header: cc_version=2.1.197.{draw.hex(3)}; cc_entrypoint=cli; cch={draw.hex(5)};"
    blocks = [_text(billing)] if draw.chance(0.9) else []
    blocks.append(_marked(draw, _text("You work at a command line, and help with software.")))
    return [*blocks, _marked(draw, _text(draw.rules(draw.choice((400, 3000, 8000)))), 0.9)]


# --- tools ---


def _tool(name: str, description: str, members: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {
        "$schema": DRAFT,
        "type": "object",
        "properties": members,
        "required": required,
        "additionalProperties": False,
    }
    return {"name": name, "description": description, "input_schema": schema}


def _tools(draw: Project) -> list[dict[str, Any]]:
    def text(description: str, **more: Any) -> dict[str, Any]:
        return {"type": "string", "description": description, **more}

    number = {"type": "number", "description": "How much.", "minimum": 0}
    todo = {
        "type": "object",
        "properties": {
            "content": {"type": "string", "minLength": 1},
            "status": {"type": "string", "enum": ["pending", "completed"]},
        },
        "required": ["content", "status"],
        "additionalProperties": False,
    }
    line = {"type": "integer", "description": "From here.", "minimum": 0, "exclusiveMaximum": 9007199254740991}
    known = [
        _tool(
            "Bash",
            "Runs a command.",
            {"command": text("What."), "timeout": number, "run_in_background": {"type": "boolean"}},
            ["command"],
        ),
        _tool("Read", "Reads a file.", {"file_path": text("Which."), "offset": line, "limit": number}, ["file_path"]),
        _tool(
            "Edit",
            "Changes a file.",
            {
                "file_path": text("Which."),
                "old_string": text("What."),
                "new_string": text("To what."),
                "replace_all": {"type": "boolean", "default": False},
            },
            ["file_path", "old_string", "new_string"],
        ),
        _tool("TodoWrite", "Keeps a list.", {"todos": {"type": "array", "items": todo}}, ["todos"]),
        _tool(
            "Task",
            "Asks another agent.",
            {"prompt": text("What."), "model": text("Which.", enum=["sonnet", "haiku"])},
            ["prompt"],
        ),
        _tool(
            "WebFetch",
            "Reads a page.",
            {"url": text("Which.", format="uri"), "prompt": text("What for.")},
            ["url", "prompt"],
        ),
        _tool(
            "Grep",
            "Finds text.",
            {
                "pattern": text("What."),
                "-n": {"type": "boolean"},
                "output_mode": text("How.", enum=["content", "count"]),
            },
            ["pattern"],
        ),
        _tool(
            "mcp__tides__lookup",
            "What is known.",
            {
                "day": text("When.", format="date"),
                "ports": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
            },
            [],
        ),
        _tool(
            "AskUserQuestion",
            "Asks.",
            {
                "questions": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 4,
                    "items": {"type": "object", "properties": {"question": text("What.")}, "required": ["question"]},
                },
                "answers": {
                    "type": "object",
                    "propertyNames": {"type": "string"},
                    "additionalProperties": {"type": "string"},
                },
            },
            ["questions"],
        ),
    ]
    tools = draw.sample(known, draw.randint(1, len(known)))
    if draw.chance(0.3):
        tools[-1] = {**tools[-1], "defer_loading": True}
    if draw.chance(0.3):
        tools[0] = {**tools[0], "eager_input_streaming": True}
    tools[-1] = _marked(draw, tools[-1])
    if draw.chance(0.2):
        tools.append({"type": "web_search_20250305", "name": "web_search", "max_uses": 8})
    return tools


# --- history ---


def _messages(draw: Project, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reminder = f"<system-reminder>\n{draw.rules(150)}\n</system-reminder>\n"
    messages = [{"role": "user", "content": [_text(reminder), _marked(draw, _text(draw.choice(ASKED)))]}]
    if draw.chance(0.2):
        messages = [{"role": "user", "content": draw.choice(ASKED)}]
    if draw.chance(0.5):
        messages.append({"role": "system", "content": "# Environment\n\nThe date has changed."})
    for _ in range(draw.choice((0, 1, 2, 5, 15))):
        messages += _turn(draw, tools)
    if draw.chance(0.4):
        left = f"<total_tokens>{draw.randint(1, 5_000_000)} tokens left</total_tokens>"
        messages.append({"role": "system", "content": [_marked(draw, _text(left), 0.8)] if draw.chance(0.5) else left})
    return messages


def _turn(draw: Project, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    if draw.chance(0.4):
        said.append({"type": "thinking", "thinking": draw.choice(ANSWERED), "signature": draw.hex(60)})
    if draw.chance(0.1):
        said.append({"type": "redacted_thinking", "data": draw.hex(60)})
    if draw.chance(0.6):
        said.append(_text(draw.choice(ANSWERED)))
    offered = [tool for tool in tools if "input_schema" in tool]
    ids = [f"toolu_{draw.hex(24)}" for _ in range(draw.choice((0, 1, 1, 2)))]
    said += [
        {"type": "tool_use", "id": each, "name": draw.choice(offered)["name"], "input": _input(draw)} for each in ids
    ]
    if not any(block["type"] in ("text", "tool_use") for block in said):
        said.append(_text(draw.choice(ANSWERED)))
    results = [_result(draw, each) for each in draw.sample(ids, len(ids))]
    more = [_text(draw.choice(ASKED))] if not ids or draw.chance(0.2) else []
    turn = [{"role": "assistant", "content": said}, {"role": "user", "content": [*results, *more]}]
    if draw.chance(0.3):
        turn.append(
            {"role": "system", "content": f"<total_tokens>{draw.randint(1, 99_999)} tokens left</total_tokens>"}
        )
    return turn


def _input(draw: Project) -> dict[str, Any]:
    return draw.choice(
        (
            {},
            {"command": "make test"},
            {"file_path": draw.choice(FILES), "offset": 3},
            {"todos": [{"content": "é", "status": "pending"}]},
        )
    )


def _result(draw: Project, call_id: str) -> dict[str, Any]:
    block: dict[str, Any] = {"tool_use_id": call_id, "type": "tool_result"}
    shape = draw.random()
    if shape < 0.5:
        block["content"] = draw.output()
    elif shape < 0.8:
        block["content"] = [_text(draw.output() or "ok") for _ in range(draw.randint(1, 2))]
    elif shape < 0.9:
        block["content"] = [{"type": "tool_reference", "tool_name": "mcp__tides__lookup"}]
    if draw.chance(0.3):
        block["is_error"] = draw.chance(0.5)
    return _marked(draw, block, 0.2)
