"""Every refusal: OpenAI's error object, the right status, the SDK's right exception class."""

from __future__ import annotations

import json

import httpx
import openai as sdk
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_chat import served

from server.api.app import create_app
from server.api.http.body import MAX_DEPTH
from server.api.state import ServingState
from server.errors import ContextLengthError, EngineError, NotReadyError, OverloadedError, RequestError

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
USER = {"role": "user", "content": "hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}


def allowed(*names, mode="auto", **more):
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools, **more}}
    return {"tools": [WEATHER], "tool_choice": choice}


def error_of(response):
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (RequestError("no", param="tools[0].function.parameters"), sdk.BadRequestError),
        (ContextLengthError(9000, 8192), sdk.BadRequestError),
        (OverloadedError("full", retry_after_s=7), sdk.RateLimitError),
        (NotReadyError("later"), sdk.InternalServerError),
        (EngineError("broken"), sdk.InternalServerError),
        (RuntimeError("secret"), sdk.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_the_sdks_exception_streamed_or_not(chat, openai, refusal, expected, stream):
    chat.refusal = refusal
    with pytest.raises(expected) as caught:
        await openai.chat.completions.create(model="tiny", messages=[USER], stream=stream)
    assert caught.value.param == getattr(refusal, "param", None)
    assert "secret" not in str(caught.value)


async def test_an_overloaded_server_says_when_to_come_back(chat, ask):
    chat.refusal = OverloadedError("full", retry_after_s=7)
    response = await ask()
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert error_of(response)["type"] == "rate_limit_error"


async def test_an_unknown_model_is_not_found(openai):
    with pytest.raises(sdk.NotFoundError) as caught:
        await openai.chat.completions.create(model="gpt-5", messages=[USER])
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": True}, "n", "invalid_type"),
        ({"logprobs": 1}, "logprobs", "invalid_type"),
        ({"top_logprobs": 3}, "top_logprobs", "invalid_value"),
        ({"min_confidence": 1.5}, "min_confidence", "invalid_value"),
        ({"min_confidence": 0.5, "tools": [WEATHER], "tool_choice": "required"}, "min_confidence", "invalid_value"),
        ({"decisions": "yes"}, "decisions", "invalid_type"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
        ({"reasoning_effort": "hgih"}, "reasoning_effort", "invalid_value"),
        ({"guided_json": "{}"}, "guided_json", "unsupported_parameter"),
        ({"json_schema": {}, "response_format": {"type": "text"}}, "json_schema", "unsupported_parameter"),
        ({"grammar": "root ::= [a-z]"}, "grammar", "unsupported_parameter"),
        ({"stop_token_ids": [1]}, "stop_token_ids", "unsupported_parameter"),
        ({"ignore_eos": True}, "ignore_eos", "unsupported_parameter"),
        ({"functions": [{"name": "f"}], "tools": [WEATHER]}, "functions", "invalid_value"),
        ({"functions": [{"name": "f"}], "tool_choice": "auto"}, "functions", "invalid_value"),
        ({"functions": [{"name": "f"}], "parallel_tool_calls": True}, "functions", "invalid_value"),
        ({"function_call": "auto", "tools": [WEATHER]}, "function_call", "invalid_value"),
        ({"function_call": "auto"}, "function_call", "invalid_value"),
        ({"function_call": 3}, "function_call", "invalid_type"),
        ({"functions": [{"name": "f"}], "function_call": "required"}, "function_call", "invalid_value"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call", "invalid_value"),
        ({"functions": [{"name": "f"}, {"name": "f"}]}, "functions[1].name", "invalid_value"),
        ({"functions": [{"parameters": {}}]}, "functions[0].name", "missing_required_parameter"),
        ({"functions": [{"name": "f", "colour": 1}]}, "functions[0].colour", "unknown_parameter"),
        ({"tempratur": 1}, "tempratur", "unknown_parameter"),
        ({"foo-bar": 1}, "foo-bar", "unknown_parameter"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "unknown_parameter"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_completion_tokens", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"temperature": 2.5}, "temperature", "invalid_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"presence_penalty": -3}, "presence_penalty", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "invalid_value"),
        ({"stop": [""]}, "stop[0]", "invalid_value"),
        ({"stop": 3}, "stop", "invalid_type"),
        ({"tool_choice": 3}, "tool_choice", "invalid_type"),
        ({"logit_bias": {"100": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"²": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "invalid_value"),
        ({"response_format": {"type": "text", "schema": {}}}, "response_format.schema", "invalid_value"),
        ({"response_format": {"type": "json_object", "schema": 1}}, "response_format.schema", "invalid_type"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"model": None}, "model", "missing_required_parameter"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": [{"role": "robot", "content": ""}]}, "messages[0].role", "invalid_value"),
        ({"messages": [USER, {"role": "function", "name": "f", "content": ""}]}, "messages[1].name", "invalid_value"),
        ({"messages": [{"role": "function", "content": ""}]}, "messages[0].name", "missing_required_parameter"),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "f"}}]},
            "messages[0].function_call.arguments",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "assistant", "function_call": CALL["function"], "tool_calls": [CALL]}]},
            "messages[0].function_call",
            "invalid_value",
        ),
        (
            {"messages": [USER, {"role": "tool", "tool_call_id": "c", "content": ""}]},
            "messages[1].tool_call_id",
            "invalid_value",
        ),
        (
            {"messages": [CALLING, {"role": "tool", "tool_call_id": "d", "content": ""}]},
            "messages[1].tool_call_id",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "tool", "tool_call_id": "c", "content": ""}, CALLING]},
            "messages[0].tool_call_id",
            "invalid_value",
        ),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "invalid_value"),
        ({"messages": [{**USER, "colour": "red"}]}, "messages[0].colour", "unknown_parameter"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]},
            "messages[0].content[1]",
            "invalid_value",
        ),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content", "missing_required_parameter"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [CALL, {**CALL, "id": None}]}]},
            "messages[0].tool_calls[1].id",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages[0].tool_call_id",
            "missing_required_parameter",
        ),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": [WEATHER], "tool_choice": "maybe"}, "tool_choice", "invalid_value"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}},
            "tool_choice",
            "invalid_value",
        ),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}},
            "tool_choice.allowed_tools",
            "invalid_type",
        ),
        (allowed(), "tool_choice.allowed_tools.tools", "invalid_value"),
        (allowed("get_weather", mode="none"), "tool_choice.allowed_tools.mode", "invalid_value"),
        (allowed("get_weather", colour=1), "tool_choice.allowed_tools.colour", "unknown_parameter"),
        (
            allowed("get_weather", "other"),
            "tool_choice.allowed_tools.tools[1].function.name",
            "invalid_value",
        ),
        (allowed(tools=[{"type": "custom"}]), "tool_choice.allowed_tools.tools[0].custom.name", "invalid_value"),
        ({"tools": [WEATHER], "tool_choice": {"type": "custom"}}, "tool_choice", "invalid_value"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name", "invalid_value"),
        ({"tools": [{"type": "custom"}]}, "tools[0].custom", "invalid_type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "invalid_value"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]},
            "tools[0].function.parameters",
            "invalid_type",
        ),
    ],
)
async def test_what_cannot_be_served_is_refused_by_name(chat, ask, fields, param, code):
    response = await ask(**fields)
    error = error_of(response)
    assert (response.status_code, error["param"], error["code"]) == (400, param, code)
    assert chat.requests == []


async def test_dots_in_function_names_and_family_tools_pass(chat, ask):
    dotted = {"type": "function", "function": {"name": "math.gcd"}}
    assert (await ask(tools=[dotted, {"type": "code_interpreter"}])).status_code == 200
    assert chat.requests[0].tools == (dotted, {"type": "code_interpreter"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff",
        b'{"model": NaN}',
        b'{"model": 1e999}',
        b'{"model": "\\ud800"}',
        b"[" * 9000,
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        b"1" * 5000,
    ],
)
async def test_a_body_that_is_no_json_object_is_a_400(http, body):
    response = await http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_json")


async def test_another_content_type_is_a_415(http):
    response = await http.post("/v1/chat/completions", content=b"{}", headers={"content-type": "text/plain"})
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_media_type")


async def test_a_body_over_the_limit_is_a_413_announced_or_not(http, ask):
    announced = await ask(messages=[{"role": "user", "content": "x" * 10_000}])
    assert (announced.status_code, error_of(announced)["code"]) == (413, "request_too_large")

    read = 0

    async def pieces():
        nonlocal read
        for _ in range(1000):
            read += 1000
            yield b" " * 1000

    headers = {"content-type": "application/json"}
    unannounced = await http.post("/v1/chat/completions", content=pieces(), headers=headers)
    assert unannounced.status_code == 413
    assert read < 20_000


async def test_unknown_routes_and_methods_answer_in_the_same_form(http):
    missing = await http.get("/v1/nothing")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "unknown_url")
    wrong = await http.get("/v1/chat/completions")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_keys_are_wanted_everywhere_but_for_health(state):
    app = create_app(state, api_keys=("right", "ключ"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        assert (await http.get("/health")).status_code == 200
        for path in ("/", "/metrics", "/v1/models", "/openapi.json", "/nothing"):
            refused = await http.get(path)
            assert (refused.status_code, error_of(refused)["code"]) == (401, "invalid_api_key")
        assert (await http.get("/v1/models", headers={"authorization": "Bearer right"})).status_code == 200
        assert (await http.get("/v1/models", headers={"x-api-key": "right"})).status_code == 200
        assert (await http.get("/v1/models", headers={"x-api-key": "ключ".encode()})).status_code == 200
        for wrong in ("Bearer wrong", "right", "Basic right", "Bearer ", "Bearer \xff"):
            headers = {"authorization": wrong.encode("latin-1")}
            assert (await http.get("/v1/models", headers=headers)).status_code == 401
        client = sdk.AsyncOpenAI(http_client=http, base_url="http://test/v1", api_key="wrong", max_retries=0)
        with pytest.raises(sdk.AuthenticationError):
            await client.models.list()


async def test_a_loading_server_answers_503(chat):
    state = ServingState()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(state)), base_url="http://test") as http:
        body = {"model": "tiny", "messages": [USER]}
        health = await http.get("/health")
        assert (health.status_code, health.json()) == (503, {"status": "loading"})
        refused = await http.post("/v1/chat/completions", json=body)
        assert (refused.status_code, error_of(refused)["code"]) == (503, "loading")
        assert refused.headers["retry-after"] == "1"
        state.ready(served(chat))
        assert (await http.get("/health")).status_code == 200
        assert (await http.post("/v1/chat/completions", json=body)).status_code == 200
        state.drain()
        assert (await http.get("/health")).json() == {"status": "draining"}
        assert error_of(await http.post("/v1/chat/completions", json=body))["code"] == "draining"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = ("tools", "tool_choice", "stop", "seed", "logit_bias", "response_format", "stream_options", "n", "temperature")
names += ("functions", "function_call")
parts = st.fixed_dictionaries({"type": st.sampled_from(["text", "refusal", "file"])}, optional={"text": json_values})
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "function"]) | json_values},
    optional={"content": json_values | st.lists(parts), "tool_calls": st.lists(json_values), "name": json_values},
)
bodies = json_values | st.fixed_dictionaries(
    {"model": st.just("tiny") | json_values, "messages": st.lists(messages, max_size=2) | json_values},
    optional=dict.fromkeys(names, json_values),
)


@given(body=bodies)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_body_whatsoever_is_the_servers_fault(body):
    state = ServingState()
    state.ready(served())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(state)), base_url="http://test") as http:
        response = await http.post(
            "/v1/chat/completions",
            content=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
    assert response.status_code < 500
    if response.status_code != 200:
        error_of(response)


@pytest.mark.parametrize("kind", [[], {}, 0, None, ["text"]])
async def test_a_part_whose_type_is_no_text_is_refused_by_its_place(ask, kind):
    for role in ("user", "assistant"):
        response = await ask(messages=[{"role": role, "content": [{"type": kind, "text": "hi"}]}])
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "messages[0].content[0]"
