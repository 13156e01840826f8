"""Every refusal of Messages: Anthropic's error object, the place in the body, the SDK's right exception."""

from __future__ import annotations

import anthropic as sdk
import httpx
import httpx2
import pytest
from anthropic.types import BetaErrorResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_chat import served

from server.api.app import create_app
from server.api.state import ServingState
from server.errors import (
    BodyTooLargeError,
    ContextLengthError,
    DeadlineError,
    EngineError,
    NotReadyError,
    OverloadedError,
    RequestError,
)

USER = {"role": "user", "content": "hi"}
WEATHER = {"name": "get_weather", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {}}


def saying(*blocks, role="user"):
    return {"messages": [USER, {"role": "assistant", "content": "Hello"}, {"role": role, "content": list(blocks)}]}


def error_of(response):
    body = response.json()
    BetaErrorResponse.model_validate(body, strict=True)
    assert body["request_id"] == response.headers["request-id"]
    assert body["error"]["message"]
    return body["error"]


@pytest.mark.parametrize(
    ("refusal", "told_as"),
    [
        (RequestError("no", param="x", code="y"), (sdk.BadRequestError, "invalid_request_error")),
        (ContextLengthError(9000, 8192), (sdk.BadRequestError, "invalid_request_error")),
        (BodyTooLargeError(3), (sdk.RequestTooLargeError, "request_too_large")),
        (OverloadedError("full", retry_after_s=7), (sdk.OverloadedError, "overloaded_error")),
        (DeadlineError(3), (sdk.APIStatusError, "timeout_error")),
        (NotReadyError("later"), (sdk.ServiceUnavailableError, "api_error")),
        (EngineError("broken"), (sdk.InternalServerError, "api_error")),
        (RuntimeError("secret"), (sdk.InternalServerError, "api_error")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_the_sdks_exception_streamed_or_not(chat, anthropic, refusal, told_as, stream):
    expected, kind = told_as
    chat.refusal = refusal
    with pytest.raises(expected) as caught:
        await anthropic.messages.create(model="tiny", max_tokens=9, messages=[USER], stream=stream)
    assert caught.value.type == kind
    assert caught.value.request_id is not None
    assert caught.value.error_code == (
        "internal_error" if isinstance(refusal, RuntimeError) else getattr(refusal, "code", None)
    )
    assert "secret" not in str(caught.value)


async def test_an_overloaded_server_says_when_to_come_back_and_the_sdk_does(chat, app, send):
    chat.refusal = OverloadedError("full", retry_after_s=1)
    response = await send()
    assert (response.status_code, response.headers["retry-after"]) == (529, "1")
    n_before = len(chat.requests)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        retrying = sdk.AsyncAnthropic(http_client=client, base_url="http://test", api_key="any", max_retries=1)
        with pytest.raises(sdk.OverloadedError):
            await retrying.messages.create(model="tiny", max_tokens=9, messages=[USER])
    assert len(chat.requests) == n_before + 2


async def test_an_unknown_model_is_not_found(anthropic):
    with pytest.raises(sdk.NotFoundError) as caught:
        await anthropic.messages.create(model="claude-opus-5", max_tokens=9, messages=[USER])
    assert (caught.value.type, caught.value.error_code) == ("not_found_error", "model_not_found")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": "left out"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": "left out"}, "messages"),
        ({"messages": []}, "messages"),
        ({"temperature": 1.5}, "temperature"),
        ({"temprature": 1}, "temprature"),
        ({"system": 3}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"system": [{"type": "text", "text": 3}]}, "system[0].text"),
        ({"thread": {"type": "continue", "previous_message_id": "msg_x"}}, "thread"),
        ({"thinking": {"type": "hard"}}, "thinking.type"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        (
            {
                "output_config": {"format": {"type": "json_schema", "schema": {}}},
                "output_format": {"type": "json_schema", "schema": {}},
            },
            "output_format",
        ),
        ({"messages": [USER, {"role": "assistant", "content": "The answer is ("}]}, "messages[1].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{**USER, "name": "x"}]}, "messages[0].name"),
        (saying("hi"), "messages[2].content[0]"),
        (saying({"type": "text"}), "messages[2].content[0].text"),
        (saying({"type": "text", "text": "a", "mood": 1}), "messages[2].content[0].mood"),
        (saying({"type": "image", "source": {}}), "messages[2].content[0].type"),
        (saying({"type": "document", "source": {}}), "messages[2].content[0].type"),
        (saying({"type": "server_tool_use"}), "messages[2].content[0].type"),
        (saying({"type": "thinking", "thinking": "x"}), "messages[2].content[0].type"),
        (saying(USE), "messages[2].content[0].type"),
        (saying({"type": "text", "text": "a"}, {"type": "tool_result"}), "messages[2].content[1].tool_use_id"),
        (saying({"type": "tool_result", "tool_use_id": "toolu_b"}), "messages[2].content[0].tool_use_id"),
        (saying({**USE, "input": None}, role="assistant"), "messages[2].content[0].input"),
        (saying({**USE, "input": "{}"}, role="assistant"), "messages[2].content[0].input"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema"),
        ({"tools": [{**WEATHER, "parameters": {}}]}, "tools[0].parameters"),
        ({"tools": [{**WEATHER, "mood": 1}]}, "tools[0].mood"),
        ({"tools": [{**WEATHER, "type": "function"}]}, "tools[0].type"),
        ({"tools": [{**WEATHER, "name": "a b"}]}, "tools[0].name"),
        ({"tools": [{"type": "memory_20250818", "name": "memory"}, WEATHER, WEATHER]}, "tools[2].name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "required"}}, "tool_choice.type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "auto", "name": "g"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "any", "disable_parallel_tool_use": 2}},
            "tool_choice.disable_parallel_tool_use",
        ),
        ({"tools": [WEATHER], "tool_choice": {"type": "any"}, "min_confidence": 0.5}, "min_confidence"),
    ],
)
async def test_a_refusal_names_the_place(chat, send, fields, param):
    response = await send(**fields)
    assert response.status_code == 400
    error = error_of(response)
    assert error["type"] == "invalid_request_error"
    assert error["details"]["param"] == param
    assert param in error["message"] or param.split("[", maxsplit=1)[0] in error["message"]
    assert chat.requests == []


async def test_a_refusal_of_the_chat_is_told_in_the_clients_words(chat, send):
    told = {
        "messages[0].content": "system",
        "messages[1].content": "messages[0]",
        "messages[3].content[0]": "messages[2].content[0]",
        "messages[4].role": "messages[2].role",
        "tools[0].function.parameters.properties.x": "tools[1].input_schema.properties.x",
        "tools[0].function.name": "tools[1].name",
        "response_format.json_schema.schema.not": "output_config.format.schema.not",
    }
    results = [{"type": "text", "text": "and"}, {"type": "tool_result", "tool_use_id": "toolu_a", "content": "x"}]
    messages = [USER, {"role": "assistant", "content": [USE]}, {"role": "user", "content": results[::-1]}]
    for param, place in told.items():
        chat.refusal = RequestError(f"Invalid {param}: why.", param=param, code="why")
        error = error_of(
            await send(system="Be kind.", messages=messages, tools=[{"type": "bash_20250124", "name": "b"}, WEATHER])
        )
        assert (error["message"], error["details"]["param"]) == (f"Invalid {place}: why.", place)


async def test_a_wrong_route_and_a_wrong_method_are_told_in_this_shape(http):
    for response in (await http.get("/v1/messages"), await http.post("/v1/messages/batches", json={})):
        assert error_of(response)["type"] in {"invalid_request_error", "not_found_error"}


async def test_a_key_is_shown_in_either_header(state):
    transport = httpx.ASGITransport(create_app(state, api_keys=["right"]))
    body = {"model": "tiny", "max_tokens": 9, "messages": [USER]}
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for headers in ({"x-api-key": "right"}, {"authorization": "Bearer right"}):
            assert (await client.post("/v1/messages", json=body, headers=headers)).status_code == 200
        refused = await client.post("/v1/messages", json=body, headers={"x-api-key": "wrong"})
        assert (refused.status_code, error_of(refused)["type"]) == (401, "authentication_error")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    max_leaves=8,
)
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", "image"])},
    optional=dict.fromkeys(("text", "id", "name", "input", "tool_use_id", "content", "is_error", "thinking"), JSON),
)
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text(max_size=3) | st.lists(BLOCKS | JSON)}
)
FIELDS = ("system", "tools", "tool_choice", "thinking", "output_config", "thread", "max_tokens", "stream")
BODIES = st.fixed_dictionaries({"messages": st.lists(TURNS, max_size=4) | JSON}, optional=dict.fromkeys(FIELDS, JSON))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BODIES)
async def test_whatever_the_body_holds_it_is_answered_or_refused_with_its_place(body):
    state = ServingState()
    state.ready(served())
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.post("/v1/messages", json={"model": "tiny", "max_tokens": 9, **body})
    assert response.status_code in (200, 400)
    if response.status_code == 400:
        assert error_of(response)["details"]["param"]
