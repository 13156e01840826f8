"""Every refusal: OpenAI's error object, with the place as the client of this dialect wrote it."""

from __future__ import annotations

import httpx
import openai as sdk
import pytest

from server.api.app import create_app
from server.errors import ContextLengthError, NotReadyError, OverloadedError, RequestError

WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
NAMESPACE = {"type": "namespace", "name": "mcp", "description": "d", "tools": [WEATHER]}
USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
IMAGE = {"type": "input_image", "image_url": "data:"}


def error_of(response, status=400):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": 3}, "input", "invalid_type"),
        ({"input": [{}]}, "input[0].type", "missing_required_parameter"),
        ({"input": [{"type": 3}]}, "input[0].type", "invalid_type"),
        ({"input": [USER, {"type": "compaction"}]}, "input[1].type", "invalid_value"),
        ({"input": [{"type": "computer_call_output", "call_id": "c"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content", "invalid_type"),
        ({"input": [{"role": "user", "content": [IMAGE]}]}, "input[0].content[0].type", "invalid_value"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]", "invalid_type"),
        ({"input": [{**USER, "colour": 1}]}, "input[0].colour", "unknown_parameter"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
            "missing_required_parameter",
        ),
        ({"input": [USER, {**CALL, "arguments": {}}]}, "input[1].arguments", "invalid_type"),
        ({"input": [USER, {**CALL, "call_id": None}]}, "input[1].call_id", "missing_required_parameter"),
        (
            {"input": [USER, {"type": "function_call_output", "call_id": "c", "output": "x"}]},
            "input[1].call_id",
            "invalid_value",
        ),
        (
            {"input": [CALL, {"type": "custom_tool_call_output", "call_id": "c", "output": "x"}]},
            "input[1].type",
            "invalid_value",
        ),
        (
            {"input": [CALL, {"type": "function_call_output", "call_id": "c"}]},
            "input[1].output",
            "missing_required_parameter",
        ),
        (
            {"input": [CALL, {"type": "function_call_output", "call_id": "c", "output": [IMAGE]}]},
            "input[1].output[0].type",
            "invalid_value",
        ),
        ({"input": [{"type": "reasoning", "content": [3]}]}, "input[0].content[0]", "invalid_value"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id", "item_not_found"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [{"name": "f"}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{"type": "gadget"}]}, "tools[0].type", "invalid_value"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function", "unknown_parameter"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name", "invalid_value"),
        (
            {"tools": [{**NAMESPACE, "tools": [WEATHER, {"type": "web_search"}]}]},
            "tools[0].tools[1].type",
            "invalid_value",
        ),
        ({"tools": [{**NAMESPACE, "tools": 3}]}, "tools[0].tools", "invalid_type"),
        ({"tools": [{**NAMESPACE, "name": "a b"}]}, "tools[0].tools[0].name", "invalid_value"),
        (
            {"tools": [{"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "bnf"}}]},
            "tools[0].format.syntax",
            "invalid_value",
        ),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": "sometimes", "tools": [WEATHER]}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice.type", "invalid_value"),
        ({"tool_choice": {"type": "gadget"}, "tools": [WEATHER]}, "tool_choice.type", "invalid_value"),
        ({"tool_choice": {"type": "function", "name": "g"}, "tools": [WEATHER]}, "tool_choice.name", "invalid_value"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}, "tools": [WEATHER]},
            "tool_choice.tools",
            "invalid_value",
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "mcp", "server_label": "s"}],
                },
                "tools": [WEATHER],
            },
            "tool_choice.tools",
            "invalid_value",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema", "invalid_value"),
        ({"text": {"format": {"type": "json_object", "name": "n"}}}, "text.format.name", "invalid_value"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity", "invalid_value"),
        ({"include": ["everything"]}, "include[0]", "invalid_value"),
        ({"top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"truncation": "auto"}, "truncation", "unsupported_parameter"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
        ({"max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ({"messages": []}, "messages", "unsupported_parameter"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"tempratur": 1}, "tempratur", "unknown_parameter"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options", "invalid_value"),
        ({"min_confidence": 0.5, "tools": [WEATHER], "tool_choice": "required"}, "min_confidence", "invalid_value"),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "previous_response_id", "invalid_value"),
        ({"store": False, "conversation": "conv_1"}, "store", "invalid_value"),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_names_the_place_before_the_first_byte(ask, fields, param, code, stream):
    if "stream_options" in fields and stream:
        return
    error = error_of(await ask(**fields, **({"stream": True} if stream else {})))
    assert (error["param"], error["code"]) == (param, code)
    assert param.split(".")[0].split("[")[0] in error["message"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("tools[1].function.parameters.properties.x", "tools[1].tools[0].parameters.properties.x"),
        ("tools[0].function.parameters", "tools[0].parameters"),
        ("messages[0].role", "input[0].role"),
        ("messages[1].tool_calls[1].function.name", "input[3].name"),
        ("messages", "input"),
        ("response_format.json_schema.schema", "text.format.schema"),
        ("max_tokens", "max_output_tokens"),
        (None, None),
    ],
)
async def test_what_the_chat_service_refuses_is_told_in_this_dialects_places(ask, chat, theirs, ours):
    chat.refusal = RequestError(f"It is wrong at {theirs}.", param=theirs, code="c")
    items = [USER, CALL, {"role": "assistant", "content": "no"}, {**CALL, "call_id": "d"}]
    items = [USER, CALL, {"type": "web_search_call"}, {**CALL, "call_id": "d"}]
    error = error_of(await ask(input=items, tools=[WEATHER, NAMESPACE]))
    assert (error["param"], error["code"]) == (ours, "c")
    if ours is not None and "[" in ours:
        assert ours in error["message"]


async def test_a_prompt_that_is_too_long_is_told_with_the_context_that_it_needs(ask, chat):
    chat.refusal = ContextLengthError(14_900, 8192)
    error = error_of(await ask())
    assert (error["param"], error["code"]) == ("input", "context_length_exceeded")
    assert "--ctx-size 32768" in error["message"]
    assert "14900" in error["message"]


async def test_a_full_queue_is_a_503_here_and_a_429_elsewhere(ask, chat, http):
    """Codex asks again after the one and gives up after the other."""
    chat.refusal = OverloadedError("full", retry_after_s=7)
    response = await ask()
    assert response.headers["retry-after"] == "7"
    assert error_of(response, 503)["code"] == "rate_limit_exceeded"
    chats = await http.post("/v1/chat/completions", json={"model": "tiny", "messages": [USER]})
    assert chats.status_code == 429


@pytest.mark.parametrize("refusal", [NotReadyError("later"), RuntimeError("secret")])
async def test_the_servers_faults_are_the_sdks_server_errors(chat, openai, refusal):
    chat.refusal = refusal
    with pytest.raises(sdk.InternalServerError) as caught:
        await openai.responses.create(model="tiny", input="hi", stream=True)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
async def test_strict_tools_refuse_what_a_cloud_runs(state, path):
    app = create_app(state, strict_tools=True)
    body = {"model": "tiny", "tools": [{"type": "web_search"}]}
    body |= {"input": "hi"} if path == "/v1/responses" else {"messages": [USER]}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        error = error_of(await http.post(path, json=body))
    assert (error["param"], error["code"]) == ("tools[0]", "unsupported_tool")


async def test_an_unknown_model_is_not_found(ask):
    assert error_of(await ask(model="other"), 404)["code"] == "model_not_found"
