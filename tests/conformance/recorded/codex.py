"""Requests in the shape that Codex sends to POST /v1/responses, by a seed.

The shape is that of its public sources (`codex-api`, `protocol/models`, `tools`): which fields there are, which are
null and which are left out. The words and values are our own.
"""

from __future__ import annotations

import json
from typing import Any

from conformance.recorded.project import ANSWERED, ASKED, FILES, Project

PATCH_GRAMMAR = """start: begin hunk+ end
begin: "*** Begin Patch" LF
hunk: "*** Update File: " NAME LF "@@" LF change+
change: ("+" | "-" | " ") LINE LF
end: "*** End Patch" LF?
NAME: /[^\\n]+/
LINE: /[^\\n]*/
LF: "\\n"
"""


def request(seed: int) -> dict[str, Any]:
    """One request. Later seeds have longer histories as often as earlier ones."""
    draw = Project(seed)
    tools = _tools(draw)
    body: dict[str, Any] = {
        "model": draw.choice(("local", "gpt-5.1-codex", "functiongate/any")),
        "instructions": draw.rules(draw.choice((300, 2000, 6000))),
        "input": _input(draw, tools),
        "tools": tools,
        "tool_choice": "auto",
        "parallel_tool_calls": draw.chance(0.5),
        "reasoning": draw.choice(
            (None, {"effort": "medium", "summary": "auto"}, {"effort": "low"}, {"summary": "detailed"})
        ),
        "store": False,
        "stream": draw.chance(0.9),
        "include": [],
    }
    if body["reasoning"] is not None:
        body["include"] = ["reasoning.encrypted_content"]
    thread = draw.uuid()
    body |= {"prompt_cache_key": thread} if draw.chance(0.9) else {}
    body |= {"service_tier": "priority"} if draw.chance(0.2) else {}
    body |= {"text": _text(draw)} if draw.chance(0.5) else {}
    if draw.chance(0.5):
        body["client_metadata"] = {"x-codex-installation-id": draw.uuid(), "x-codex-turn-metadata": '{"turn": 1}'}
    return body


def headers(seed: int) -> dict[str, str]:
    """What comes with it."""
    draw = Project(f"headers {seed}")
    session = draw.uuid()
    return {
        "accept": "text/event-stream",
        "originator": "codex_cli_rs",
        "session-id": session,
        "thread-id": session,
        "user-agent": "codex_cli_rs/0.171.0 (Linux; x86_64)",
    }


def _text(draw: Project) -> dict[str, Any]:
    text: dict[str, Any] = {"verbosity": draw.choice(("low", "medium", "high"))}
    if draw.chance(0.3):
        members = {"title": {"type": "string"}, "risk": {"type": "string", "enum": ["low", "high"]}}
        schema = {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}
        text["format"] = {"type": "json_schema", "strict": True, "schema": schema, "name": "codex_output_schema"}
    return text


# --- tools ---


def _function(name: str, description: str, members: dict[str, Any], required: list[str], **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": members, "required": required, "additionalProperties": False}
    return {"type": "function", "name": name, "description": description, "strict": False, "parameters": schema, **more}


def _described(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **more}


def _tools(draw: Project) -> list[dict[str, Any]]:
    number, text, truth = (lambda d, k=k: _described(k, d) for k in ("number", "string", "boolean"))
    command = {
        "cmd": text("What to run."),
        "workdir": text("Where."),
        "yield_time_ms": number("How long to wait."),
        "tty": truth("?"),
    }
    step = {
        "type": "object",
        "properties": {
            "step": {"type": "string"},
            "status": _described("string", "One of pending, in_progress, completed."),
        },
        "required": ["step", "status"],
        "additionalProperties": False,
    }
    plan = {"explanation": {"type": "string"}, "plan": _described("array", "The steps.", items=step)}
    keys = {"session_id": number("Which."), "chars": text("What to type.")}
    known = [
        _function("exec_command", "Run a command.", command, ["cmd"]),
        _function("write_stdin", "Type into a running command.", keys, ["session_id"]),
        _function("shell", "Run.", {"command": _described("array", "Words.", items={"type": "string"})}, ["command"]),
        _function("update_plan", "Tell the plan.", plan, ["plan"]),
        _function("view_image", "Show a picture.", {"path": text("Where it is.")}, ["path"]),
    ]
    tools = draw.sample(known, draw.randint(1, len(known)))
    if draw.chance(0.6):
        form = draw.choice(({"type": "grammar", "syntax": "lark", "definition": PATCH_GRAMMAR}, {"type": "text"}))
        tools.append({"type": "custom", "name": "apply_patch", "description": "Change files.", "format": form})
    if draw.chance(0.5):
        tools.append({"type": "web_search", "external_web_access": draw.chance(0.5)})
    if draw.chance(0.3):
        tools.append({"type": "image_generation", "output_format": "png"})
    if draw.chance(0.2):
        tools.append({"type": "local_shell"})
    if draw.chance(0.4):
        tools += [
            _namespace(draw, name)
            for name in draw.sample(("mcp__tides__", "mcp__files__", "multi_agent"), draw.randint(1, 2))
        ]
    return tools


def _namespace(draw: Project, name: str) -> dict[str, Any]:
    when = {"day": {"type": "string", "format": "date"}, "port": {"type": ["string", "null"]}}
    inner = [
        _function("lookup", "What is known.", when, ["day"]),
        _function("list_all", "All.", {}, [], defer_loading=True),
        _function(
            "note",
            "Keep a note.",
            {"kind": {"enum": ["a", "b"]}, "tags": {"type": "array", "items": {"type": "string"}}},
            [],
        ),
    ]
    return {
        "type": "namespace",
        "name": name,
        "description": "Tools of one server.",
        "tools": inner[: draw.randint(1, 3)],
    }


# --- history ---


def _message(draw: Project, role: str, *texts: str, **more: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    item: dict[str, Any] = {
        "type": "message",
        "role": role,
        "content": [{"type": kind, "text": text} for text in texts],
    }
    if draw.chance(0.2):
        item["id"] = f"msg_{draw.hex(24)}"
    if draw.chance(0.2):
        item["internal_chat_message_metadata_passthrough"] = {"turn_id": draw.uuid()}
    return {**item, **more}


def _input(draw: Project, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items = [_message(draw, "developer", "<permissions>\nworkspace-write\n</permissions>", draw.choice(ASKED))]
    if draw.chance(0.5):
        items.append(_message(draw, "user", f"# AGENTS.md\n\n{draw.rules(200)}"))
    place = f"  <cwd>/home/me/{draw.choice(FILES)}</cwd>\n  <shell>bash</shell>"
    items.append(_message(draw, "user", f"<environment_context>\n{place}\n</environment_context>"))
    items.append(_message(draw, "user", draw.choice(ASKED)))
    for turn in range(draw.choice((0, 1, 2, 5, 15))):
        items += _turn(draw, tools)
        if draw.chance(0.2):
            items.append(_message(draw, "developer", f"<model_switch>\n{turn}\n</model_switch>"))
        if draw.chance(0.3):
            items.append(_message(draw, "user", draw.choice(ASKED)))
    if items[-1]["type"] == "message" and items[-1]["role"] == "assistant":
        items.append(_message(draw, "user", draw.choice(ASKED)))
    return items


def _turn(draw: Project, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if draw.chance(0.6):
        items.append(_thought(draw))
    if draw.chance(0.4):
        items.append(_message(draw, "assistant", draw.choice(ANSWERED), **draw.choice(({}, {"phase": "commentary"}))))
    calls = [_call(draw, tools) for _ in range(draw.choice((0, 1, 1, 2)))]
    items += [call for call, _ in calls]
    items += draw.sample([result for _, result in calls], len(calls))
    if not calls:
        if draw.chance(0.2):
            search = {"type": "search", "query": "tides"}
            items.append({"type": "web_search_call", "status": "completed", "action": search})
        items.append(_message(draw, "assistant", draw.choice(ANSWERED), **draw.choice(({}, {"phase": "final_answer"}))))
    return items


def _thought(draw: Project) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": draw.choice(ANSWERED)} for _ in range(draw.randint(0, 2))]
    item: dict[str, Any] = {
        "type": "reasoning",
        "summary": summary,
        "encrypted_content": draw.choice((None, draw.hex(80))),
    }
    if draw.chance(0.3):
        item["content"] = draw.choice((None, [{"type": "reasoning_text", "text": "The table is in UTC."}]))
    return item | ({"id": f"rs_{draw.hex(24)}"} if draw.chance(0.3) else {})


def _call(draw: Project, tools: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    call_id = f"call_{draw.hex(24)}"
    callable_tools = [tool for tool in tools if tool["type"] in ("function", "custom", "namespace")]
    tool = draw.choice(callable_tools)
    own = draw.choice(
        ({}, {"id": f"fc_{draw.hex(24)}"}, {"internal_chat_message_metadata_passthrough": {"turn_id": draw.uuid()}})
    )
    if tool["type"] == "custom":
        call = {
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": call_id,
            "name": tool["name"],
            "input": draw.patch(),
        }
        return call | own, {"type": "custom_tool_call_output", "call_id": call_id, "output": _output(draw)}
    arguments = json.dumps({"cmd": "rg -n tide", "workdir": draw.choice(FILES)}) if draw.chance(0.9) else '{"cmd": "rg'
    call = {"type": "function_call", "name": tool["name"], "arguments": arguments, "call_id": call_id}
    if tool["type"] == "namespace":
        call |= {"name": tool["tools"][0]["name"], "namespace": tool["name"]}
    return call | own, {"type": "function_call_output", "call_id": call_id, "output": _output(draw)}


def _output(draw: Project) -> Any:
    told = f"Chunk ID: {draw.hex(6)}\nProcess exited with code {draw.choice((0, 0, 1, 127))}\nOutput:\n{draw.output()}"
    return told if draw.chance(0.7) else [{"type": "input_text", "text": part} for part in (told, draw.output())]
