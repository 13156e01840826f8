"""What real clients send beside their request: accepted, without effect, and named in `warnings`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from server.api.request.ignored import BODY, CALL, MESSAGE, PART, TOOL
from server.chat.request import Thinking

USER = {"role": "user", "content": "Weather in Turin?"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
CALLED = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


def ignored(answer):
    return [warning["param"] for warning in answer.json().get("warnings", ()) if warning["type"] == "parameter_ignored"]


async def test_an_answer_that_ignored_nothing_has_no_warnings(ask):
    assert "warnings" not in (await ask()).json()


@pytest.mark.parametrize("name", sorted(BODY))
async def test_a_field_of_another_servers_dialect_is_named_and_changes_nothing(ask, chat, name):
    assert ignored(await ask(**{name: 1})) == [name]
    assert ignored(await ask(**{name: None})) == []
    assert chat.requests[0] == chat.requests[1]


async def test_the_warnings_of_a_stream_come_with_its_end(openai):
    chunks = [
        chunk
        async for chunk in await openai.chat.completions.create(
            model="tiny", messages=[USER], stream=True, extra_body={"mirostat": 2, "dry_base": 1.75}
        )
    ]
    told = [warning for chunk in chunks for warning in (chunk.model_extra or {}).get("warnings", ())]
    assert [warning["param"] for warning in told] == ["mirostat", "dry_base"]
    assert "sampler" in told[0]["message"]


@pytest.mark.parametrize("name", sorted(MESSAGE))
async def test_what_clients_store_with_a_message_comes_back_without_harm(ask, chat, name):
    echoed = {"role": "assistant", "content": "Hello", name: {"any": "thing"}}
    assert ignored(await ask(messages=[USER, echoed, USER])) == [f"messages[1].{name}"]
    assert chat.requests[0].messages == (USER, {"role": "assistant", "content": "Hello"}, USER)


@pytest.mark.parametrize("name", ["reasoning", "thinking", "reasoning_content"])
async def test_a_thought_is_read_under_any_of_its_names(ask, chat, name):
    calling = {"role": "assistant", "content": "", name: "The user wants it.", "tool_calls": [CALLED]}
    assert ignored(await ask(messages=[USER, calling, RESULT])) == []
    assert chat.requests[0].messages[1]["reasoning_content"] == "The user wants it."


async def test_a_thought_told_twice_is_read_once(ask, chat):
    echoed = {"role": "assistant", "content": "a", "reasoning_content": "one", "reasoning": "two"}
    assert ignored(await ask(messages=[USER, echoed, USER])) == ["messages[1].reasoning"]
    assert chat.requests[0].messages[1]["reasoning_content"] == "one"


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": ""}, {"content": []}], ids=str)
async def test_a_turn_of_thoughts_alone_does_not_end_a_conversation(ask, content):
    thought = {"role": "assistant", "reasoning_content": "Cut short.", **content}
    assert (await ask(messages=[USER, thought, USER, USER])).status_code == 200


@pytest.mark.parametrize("name", sorted(PART))
async def test_what_decorates_a_part_is_named(ask, chat, name):
    part = {"type": "text", "text": "Weather?", name: {"type": "ephemeral"}}
    assert ignored(await ask(messages=[{"role": "user", "content": [part]}])) == [f"messages[0].content[0].{name}"]
    assert chat.requests[0].messages[0]["content"] == [{"type": "text", "text": "Weather?"}]


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking", "reasoning"])
async def test_a_part_that_is_a_thought_is_left_out(ask, chat, kind):
    parts = [{"type": kind, "thinking": "hm", "signature": "x"}, {"type": "output_text", "text": "Sunny."}]
    assert ignored(await ask(messages=[USER, {"role": "assistant", "content": parts}, USER])) == [
        "messages[1].content[0]"
    ]
    assert chat.requests[0].messages[1]["content"] == [{"type": "text", "text": "Sunny."}]


async def test_an_image_in_a_result_is_refused_by_its_place(ask):
    """A text model cannot see it: the client has to know."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    parts = [{"type": "text", "text": "a picture"}, image]
    calling = {"role": "assistant", "content": None, "tool_calls": [CALLED]}
    refused = await ask(messages=[USER, calling, {**RESULT, "content": parts}])
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages[2].content[1]")
    assert "image_url" in refused.json()["error"]["message"]


@pytest.mark.parametrize("name", sorted(CALL))
async def test_what_decorates_a_past_call_is_named(ask, chat, name):
    calling = {"role": "assistant", "content": None, "tool_calls": [{**CALLED, name: {"google": "x"}}]}
    assert ignored(await ask(messages=[USER, calling, RESULT])) == [f"messages[1].tool_calls[0].{name}"]
    assert chat.requests[0].messages[1]["tool_calls"] == [CALLED]


@pytest.mark.parametrize("name", sorted(TOOL))
async def test_what_decorates_a_tool_is_named_and_not_shown(ask, chat, name):
    assert ignored(await ask(tools=[{**WEATHER, name: True}])) == [f"tools[0].{name}"]
    assert chat.requests[0].tools == (WEATHER,)


@pytest.mark.parametrize("name", sorted(TOOL - {"strict"}))  # a function's strict is honoured
async def test_what_decorates_a_function_is_named_and_not_shown(ask, chat, name):
    decorated = {**WEATHER, "function": {**WEATHER["function"], name: 1}}
    assert ignored(await ask(tools=[decorated])) == [f"tools[0].function.{name}"]
    assert chat.requests[0].tools == (WEATHER,)


HOSTED = ["web_search", "web_search_preview_2025_03_11", "web_search_20250305", "file_search", "computer_use_preview"]
HOSTED += ["image_generation", "mcp", "local_shell", "bash_20250124", "text_editor_20250728", "openrouter:web_search"]


@pytest.mark.parametrize("kind", HOSTED)
async def test_a_tool_that_a_cloud_runs_is_left_out_and_named(ask, chat, kind):
    answer = await ask(tools=[{"type": kind, "name": "x"}, WEATHER], tool_choice="auto")
    assert ignored(answer) == ["tools[0]"]
    assert chat.requests[0].tools == (WEATHER,)
    assert ignored(await ask(tools=[{"type": kind}])) == ["tools[0]"]
    assert (chat.requests[1].tools, chat.requests[1].tool_choice) == ((), "none")


@pytest.mark.parametrize("choice", ["auto", "none", None])
async def test_no_tools_and_a_choice_that_asks_for_none_are_answered(ask, chat, choice):
    for tools in ([], None):
        assert (await ask(tools=tools, tool_choice=choice, parallel_tool_calls=False)).status_code == 200
    assert {request.tool_choice for request in chat.requests} == {"none"}


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
async def test_an_effort_is_heard_under_both_of_its_names(ask, chat, effort):
    assert ignored(await ask(reasoning_effort=effort)) == []
    assert ignored(await ask(reasoning={"effort": effort, "exclude": True})) == ["reasoning.exclude"]
    assert [request.thinking for request in chat.requests] == [Thinking(effort=effort)] * 2


@pytest.mark.parametrize(
    "fields",
    [
        {"max_reasoning_tokens": 64},
        {"thinking_budget": 64},
        {"thinking_token_budget": 64},
        {"reasoning": {"max_tokens": 64}},
        {"thinking": {"type": "enabled", "budget_tokens": 64}},
    ],
    ids=str,
)
async def test_a_bound_of_thoughts_is_heard_in_any_dialect(ask, chat, fields):
    assert ignored(await ask(**fields)) == []
    assert chat.requests[0].thinking == Thinking(max_tokens=64)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_reasoning_tokens": -1}, "max_reasoning_tokens"),
        ({"max_reasoning_tokens": "64"}, "max_reasoning_tokens"),
        ({"reasoning": {"max_tokens": 1.5}}, "reasoning.max_tokens"),
        ({"reasoning": {"effort": "hgih"}}, "reasoning.effort"),
        ({"thinking": {"budget_tokens": -1}}, "thinking.budget_tokens"),
        ({"thinking": 3}, "thinking"),
    ],
    ids=str,
)
async def test_a_wrong_bound_of_thoughts_is_refused_by_name(ask, fields, param):
    answer = await ask(**fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_effort": "none"},
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"enabled": False}},
        {"thinking": {"type": "disabled"}},
        {"thinking": False},
        {"enable_thinking": False},
        {"max_reasoning_tokens": 0},
    ],
    ids=str,
)
async def test_who_asks_for_no_thought_is_heard_in_any_dialect(ask, chat, fields):
    assert ignored(await ask(**fields)) == []
    assert chat.requests[0].thinking == Thinking(is_on=False)


@pytest.mark.parametrize("name", ["calendar.listEvents", "user-profile/update", "a" * 128])
async def test_a_name_as_mcp_allows_it_is_offered_as_it_is(ask, chat, name):
    tool = {"type": "function", "function": {"name": name}}
    choice = {"type": "function", "function": {"name": name}}
    assert (await ask(tools=[tool], tool_choice=choice)).status_code == 200
    assert chat.requests[0].tools == (tool,)


async def test_one_id_for_two_calls_keeps_both_results_in_order(ask, chat):
    calls = [
        {**CALLED, "function": {"name": "get_weather", "arguments": json.dumps({"city": c})}} for c in ("Rome", "Oslo")
    ]
    results = [{**RESULT, "content": text} for text in ("hot", "cold")]
    asked = [USER, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    assert (await ask(messages=asked)).status_code == 200
    assert [message["content"] for message in chat.requests[0].messages[2:]] == ["hot", "cold"]


async def test_places_of_one_kind_are_told_once(ask):
    turns = [{"role": "assistant", "content": "a", "reasoning_details": [1]}, USER]
    [warning] = (await ask(messages=[USER, *turns * 9])).json()["warnings"]
    assert warning["param"] == "messages[1].reasoning_details"
    assert "8 more" in warning["message"]


async def test_any_name_is_answered_to_where_that_is_wanted(ask, state, chat):
    assert (await ask(model="gpt-4o")).status_code == 404
    state.ready(replace(state.model, answers_to_any_name=True))
    answer = await ask(model="gpt-4o")
    assert (answer.status_code, answer.json()["model"]) == (200, "gpt-4o")
    assert len(chat.requests) == 1
