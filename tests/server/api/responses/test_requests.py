"""What the chat service is asked for a body of this dialect."""

from __future__ import annotations

import pytest
from scripted_chat import USAGE

from server.api.responses.schemas import IGNORED
from server.chat.request import ChatDelta, InputFormat
from server.chat.schemas.warning import SchemaWarning

WEATHER = {"type": "function", "name": "get_weather", "description": "d", "parameters": {"type": "object"}}
SHOWN = {"name": "get_weather", "description": "d", "parameters": {"type": "object"}}
PATCH = {"type": "custom", "name": "patch", "description": "a diff"}
NAMESPACE = {"type": "namespace", "name": "mcp", "description": "far", "tools": [WEATHER, PATCH]}
USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "sun"}


@pytest.fixture
def messages(ask, chat):
    async def read(*items, **fields):
        response = await ask(input=list(items), **fields)
        assert response.status_code == 200, response.text
        return list(chat.requests[-1].messages)

    return read


def called(call_id, name, arguments):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


async def test_a_text_is_a_message_of_the_user_after_the_instructions(ask, chat):
    await ask(input="hello", instructions="Be brief.")
    assert chat.requests[0].messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
    )


async def test_items_need_no_id_status_or_type(messages):
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    assert await messages(USER, {"role": "assistant", "content": "yes"}, {"role": "user", "content": parts}) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]


async def test_what_instructs_at_the_beginning_is_one_system_message(messages):
    """Many models take one; codex sends instructions, a developer's message and more of them later."""
    later = {"type": "message", "role": "developer", "content": "Now in French."}
    given = [
        {
            "role": "developer",
            "content": [{"type": "input_text", "text": "One."}, {"type": "input_text", "text": " Two."}],
        },
        {"role": "system", "content": "Three."},
        USER,
        later,
    ]
    assert await messages(*given, instructions="Zero.") == [
        {"role": "system", "content": "Zero.\n\nOne. Two.\n\nThree."},
        {"role": "user", "content": "hi"},
        {"role": "developer", "content": "Now in French."},
    ]


async def test_what_an_assistant_thought_said_and_called_is_one_turn(messages):
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    said = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}],
    }
    custom = {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": 'a "b"', "status": "completed"}
    custom_result = {
        "type": "custom_tool_call_output",
        "call_id": "c2",
        "output": [{"type": "input_text", "text": "ok"}],
    }
    assert await messages(USER, thought, said, CALL, custom, custom_result, RESULT, said, said) == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "I look."}],
            "reasoning_content": "hm",
            "tool_calls": [called("c1", "get_weather", "{}"), called("c2", "patch", '{"input": "a \\"b\\""}')],
        },
        {"role": "tool", "content": [{"type": "text", "text": "ok"}], "tool_call_id": "c2"},
        {"role": "tool", "content": "sun", "tool_call_id": "c1"},
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}]},
    ]


async def test_a_call_in_a_namespace_has_the_name_that_the_model_was_shown(messages):
    turn = await messages(USER, {**CALL, "namespace": "mcp"}, RESULT, tools=[NAMESPACE])
    assert turn[1]["tool_calls"] == [called("c1", "mcp.get_weather", "{}")]


async def test_functions_custom_tools_and_namespaces_are_shown_as_functions(ask, chat):
    lark = {"type": "grammar", "syntax": "lark", "definition": "start: /[a-z]+/"}
    await ask(tools=[WEATHER, {**PATCH, "format": lark}, NAMESPACE, {**WEATHER, "name": "exact", "strict": True}])
    request = chat.requests[0]
    shown = [tool["function"] for tool in request.tools]
    assert [function["name"] for function in shown] == ["get_weather", "patch", "mcp.get_weather", "mcp.patch", "exact"]
    assert shown[0] == SHOWN
    assert shown[1]["parameters"]["required"] == ["input"]
    assert request.input_formats == {"patch": InputFormat("lark", "start: /[a-z]+/", "tools[1].format.definition")}
    assert request.strict_tools == {"exact"}


async def test_hosted_tools_are_left_out_and_named(ask, chat):
    body = (await ask(tools=[{"type": "web_search"}, WEATHER, {"type": "image_generation"}])).json()
    assert [tool["function"]["name"] for tool in chat.requests[0].tools] == ["get_weather"]
    assert [tool["name"] for tool in body["tools"]] == ["get_weather"]
    (warning,) = body["warnings"]
    assert (warning["type"], warning["param"]) == ("parameter_ignored", "tools[0]")
    assert "1 more" in warning["message"]


async def test_a_warning_about_a_schema_names_its_place_in_the_body(ask, chat):
    path, told = "tools[0].function.parameters.properties.x", "tools[1].parameters.properties.x"
    warning = SchemaWarning("schema_degraded", "get_weather", path, f"{path} is not enforced", "not")
    chat.script = (ChatDelta(content="a"), ChatDelta(finish_reason="stop", usage=USAGE, warnings=(warning,)))
    body = (await ask(tools=[{"type": "web_search"}, WEATHER])).json()
    assert [(each.get("path"), each["message"]) for each in body["warnings"][1:]] == [(told, f"{told} is not enforced")]


FORCED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize(
    ("choice", "tools", "expected"),
    [
        (None, [WEATHER], ("auto", None)),
        (None, [], ("none", None)),
        ("auto", [{"type": "web_search"}], ("none", None)),
        ("none", [WEATHER], ("none", None)),
        ("required", [WEATHER], ("required", None)),
        ({"type": "function", "name": "get_weather"}, [WEATHER], (FORCED, None)),
        ({"type": "function", "name": "get_weather"}, [WEATHER, NAMESPACE], (FORCED, None)),
        (
            {"type": "function", "name": "get_weather"},
            [NAMESPACE],
            ({"type": "function", "function": {"name": "mcp.get_weather"}}, None),
        ),
        (
            {"type": "custom", "name": "patch", "namespace": "mcp"},
            [PATCH, NAMESPACE],
            ({"type": "function", "function": {"name": "mcp.patch"}}, None),
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "custom", "name": "patch"}, {"type": "web_search"}],
            },
            [WEATHER, PATCH],
            ("required", {"patch"}),
        ),
    ],
)
async def test_every_form_of_tool_choice(ask, chat, choice, tools, expected):
    response = await ask(tools=tools, tool_choice=choice)
    assert response.status_code == 200, response.text
    assert (chat.requests[0].tool_choice, chat.requests[0].allowed_tools) == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "text"}, {"type": "text"}),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        ),
    ],
)
async def test_a_text_format_is_a_response_format(ask, chat, form, expected):
    body = (await ask(text={"format": form})).json()
    assert chat.requests[0].response_format == expected
    assert body["text"] == {"format": form, "verbosity": "medium"}


async def test_sampling_is_that_of_chat_completions(ask, chat):
    await ask(
        temperature=0.5,
        top_p=0.9,
        seed=3,
        top_k=4,
        min_p=0.1,
        stop=["x"],
        max_output_tokens=7,
        call_bias=1.5,
        decisions=True,
        min_confidence=0.5,
        parallel_tool_calls=False,
        timeout=9,
        chat_template_kwargs={"k": 1},
        reasoning={"effort": "none"},
    )
    request = chat.requests[0]
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.seed) == (0.5, 0.9, 3)
    assert (request.sampling.top_k, request.sampling.min_p, request.stop, request.max_tokens) == (4, 0.1, ("x",), 7)
    assert (request.call_bias, request.wants_decisions, request.min_confidence) == (1.5, True, 0.5)
    assert (request.parallel_tool_calls, request.terms.timeout_s, request.thinking.is_on) == (False, 9, False)
    assert request.template_kwargs == {"k": 1}


CODEX = {
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list the files"}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "…"},
        {"type": "function_call", "name": "exec_command", "arguments": '{"cmd": "ls"}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
        {"type": "custom_tool_call", "status": "completed", "call_id": "c2", "name": "apply_patch", "input": "*** B"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
    ],
    "tools": [
        {"type": "function", "name": "exec_command", "strict": False, "parameters": {"type": "object"}},
        {"type": "custom", "name": "apply_patch", "description": "p", "format": {"type": "text"}},
        {"type": "namespace", "name": "mcp__docs", "description": "n", "tools": [WEATHER]},
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "talk",
    "text": {"verbosity": "low"},
    "client_metadata": {"x": "y"},
    "service_tier": "priority",
}


async def test_what_codex_notes_down_with_an_item_is_left_out_and_named_once_a_kind(stream, chat):
    noted = {"internal_chat_message_metadata_passthrough": {"turn_id": "t"}}
    events = await stream(**{**CODEX, "input": [{**item, **noted} for item in CODEX["input"]]})
    warned = [warning["param"] for warning in events[-1]["response"]["warnings"]]
    assert "input[0].internal_chat_message_metadata_passthrough" in warned
    assert len(warned) == len(set(warned)) == 5
    await stream(**CODEX)
    assert chat.requests[0].messages == chat.requests[1].messages


async def test_codexs_body_is_understood(stream, chat):
    """The shape of its public sources; what has no effect is named, once."""
    events = await stream(**CODEX)
    assert events[-1]["type"] == "response.completed"
    warned = [warning["param"] for warning in events[-1]["response"]["warnings"]]
    assert warned == ["text.verbosity", "reasoning.summary", "tools[3]", "input[3]"]
    assert [message["role"] for message in chat.requests[0].messages] == [
        "system",
        "user",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]


async def test_what_decorates_without_a_name_changes_nothing(ask, chat):
    values = {"metadata": {"a": "b"}, "client_metadata": {"a": 1}}
    body = (await ask(**{name: values.get(name, "x") for name in IGNORED})).json()
    assert "warnings" not in body
    await ask()
    assert chat.requests[0] == chat.requests[1]


async def test_other_servers_options_are_named(ask):
    body = (await ask(mirostat=2, max_tool_calls=3, include=["file_search_call.results"])).json()
    assert [warning["param"] for warning in body["warnings"]] == ["mirostat", "max_tool_calls", "include[0]"]


async def test_tokens_of_an_input_are_counted_without_asking_the_model(http, chat, openai):
    counted = await openai.responses.input_tokens.count(model="tiny", input="hi", tools=[WEATHER])
    assert (counted.input_tokens, counted.object) == (3, "response.input_tokens")
    assert not chat.streams
    assert (await http.post("/v1/responses/input_tokens", json={"input": "hi"})).status_code == 200
