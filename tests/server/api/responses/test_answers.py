"""POST /v1/responses as the SDK and plain HTTP see its answers, whole and streamed."""

from __future__ import annotations

import asyncio
import itertools
import json
import re

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from response_folding import ENDS, fold
from scripted_chat import CALLS, TEXT, USAGE, ScriptedChat, served

from server.api.app import create_app
from server.api.request.ignored import IgnoredParameters
from server.api.responses.build import ResponseBuilder
from server.api.responses.head import ResponseHead
from server.api.responses.places import Places
from server.api.responses.schemas import read_request
from server.api.responses.tools import read_tools
from server.api.state import ServingState
from server.chat.request import ChatDelta, ToolCallDelta
from server.errors import ConstraintError, DeadlineError, EngineError

WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}
PATCH = {"type": "custom", "name": "patch"}
IN_NAMESPACE = {"type": "namespace", "name": "mcp", "description": "far", "tools": [WEATHER, PATCH]}
EVENT = TypeAdapter(ResponseStreamEvent)


def call(i, name, *arguments):
    return [
        ChatDelta(tool_call=ToolCallDelta(i, f"call_{i}", name)),
        *(ChatDelta(tool_call=ToolCallDelta(i, arguments=piece)) for piece in arguments),
    ]


class Pause:
    """Silence for three pings, from when the script comes to it."""

    async def wait(self):
        await asyncio.sleep(0.18)


def end(reason="stop"):
    return ChatDelta(finish_reason=reason, usage=USAGE)


THOUGHT = (ChatDelta(reasoning="hm"), ChatDelta(reasoning="m."), ChatDelta(content="\n\n"), *TEXT)
MIXED = (
    ChatDelta(reasoning="which?"),
    ChatDelta(content="\n"),
    ChatDelta(content="Let me see."),
    *call(0, "get_weather"),
    *call(1, "patch", '{"inp', 'ut": "a\\n', '\\u00e9"}'),
    ChatDelta(content="\n"),
    *call(2, "mcp.get_weather", "{}"),
    *call(3, "mcp.patch", '{"input": ""}'),
    end("tool_calls"),
)
SCRIPTS = {"text": TEXT, "calls": CALLS, "thought": THOUGHT, "mixed": MIXED, "nothing": (end(),)}
CUT = {
    "text": (ChatDelta(content="Hel"), end("length")),
    "call": (*call(0, "get_weather", '{"ci'), end("length")),
    "custom": (*call(0, "patch", '{"input": "a'), end("length")),
    "thought": (ChatDelta(reasoning="so"), end("length")),
    "nothing": (end("length"),),
}


def without_time(response):
    return {name: value for name, value in response.items() if name not in ("created_at", "completed_at", "id")}


def without_ids(response):
    return {**without_time(response), "output": [{**item, "id": None} for item in response["output"]]}


@pytest.mark.parametrize("script", [*SCRIPTS.values(), *CUT.values()], ids=[*SCRIPTS, *(f"cut {name}" for name in CUT)])
async def test_the_whole_response_is_the_fold_of_the_events(chat, ask, stream, script):
    """Both are what OpenAI's models read, strictly."""
    chat.script = script
    tools = [WEATHER, PATCH, IN_NAMESPACE]
    events = await stream(tools=tools)
    for event in events:
        EVENT.validate_python(event, strict=True)
    final = events[-1]["response"]
    assert fold(events) == final["output"]
    whole = (await ask(tools=tools)).json()
    Response.model_validate(whole, strict=True)
    assert without_ids(whole) == without_ids(final)
    assert len({item["id"] for item in final["output"]}) == len(final["output"])
    assert [event["type"] for event in events if event["type"] in ENDS] == [events[-1]["type"]]


async def test_calls_come_back_under_the_clients_own_names(chat, ask):
    chat.script = MIXED
    body = (await ask(tools=[WEATHER, PATCH, IN_NAMESPACE])).json()
    told = [
        (item["type"], item.get("namespace"), item.get("name"), item.get("arguments", item.get("input")))
        for item in body["output"]
    ]
    assert told == [
        ("reasoning", None, None, None),
        ("message", None, None, None),
        ("function_call", None, "get_weather", ""),
        ("custom_tool_call", None, "patch", "a\né"),
        ("function_call", "mcp", "get_weather", "{}"),
        ("custom_tool_call", "mcp", "patch", ""),
    ]
    assert body["output"][1]["content"][0]["text"] == "\nLet me see."
    assert [item["call_id"] for item in body["output"][2:]] == ["call_0", "call_1", "call_2", "call_3"]


async def test_an_answer_of_nothing_is_an_empty_message(chat, ask):
    chat.script = (ChatDelta(content=" \n"), end())
    (item,) = (await ask()).json()["output"]
    assert item["content"] == [{"type": "output_text", "text": "", "annotations": [], "logprobs": []}]


async def test_a_limit_leaves_the_last_item_and_the_response_incomplete(chat, ask):
    chat.script = (*call(0, "get_weather", "{}"), *call(1, "get_weather", '{"ci'), end("length"))
    body = (await ask(tools=[WEATHER], max_output_tokens=9)).json()
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [item["status"] for item in body["output"]] == ["completed", "incomplete"]
    assert body["completed_at"] is None
    assert body["max_output_tokens"] == chat.requests[0].max_tokens == 9


async def test_usage_tells_what_was_cached(ask):
    usage = (await ask()).json()["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] == USAGE.cached
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_a_response_repeats_what_was_asked(ask):
    asked = {
        "instructions": "Be brief.",
        "metadata": {"k": "v"},
        "temperature": 0.5,
        "top_p": 0.9,
        "prompt_cache_key": "talk",
        "safety_identifier": "s",
        "user": "u",
        "parallel_tool_calls": False,
        "tools": [{**WEATHER, "description": "d"}],
        "tool_choice": {"type": "function", "name": "get_weather"},
    }
    body = (await ask(**asked)).json()
    assert {name: body[name] for name in asked} == asked


async def test_what_is_null_was_not_asked(ask):
    body = (await ask(parallel_tool_calls=None, tool_choice=None, tools=None, metadata=None)).json()
    assert (body["parallel_tool_calls"], body["tool_choice"], body["tools"]) == (True, "auto", [])
    assert body["metadata"] == {}


async def test_silence_is_filled_with_the_state_and_breaks_no_fold(chat, stream):
    chat.script = (Pause(), ChatDelta(content="a"), Pause(), ChatDelta(content="b"), end())
    events = await stream()
    kinds = [event["type"] for event in events]
    assert kinds.count("response.in_progress") > 3
    assert kinds.index("response.output_text.delta") < len(kinds) - 1 - kinds[::-1].index("response.in_progress")
    assert fold(events) == events[-1]["response"]["output"]


async def test_the_sdks_stream_helper_lives_through_silence(chat, openai):
    chat.script = (ChatDelta(content="Hel"), Pause(), ChatDelta(content="lo"), *call(0, "get_weather", "{}"), end())
    async with openai.responses.stream(model="tiny", input="hi", tools=[WEATHER]) as events:
        kinds = [event.type async for event in events]
        final = await events.get_final_response()
    assert kinds.count("response.in_progress") > 2
    assert final.output_text == "Hello"
    assert final.output[1].arguments == "{}"


async def test_the_sdk_parses_a_text_format(chat, openai):
    class Weather(BaseModel):
        city: str

    chat.script = (ChatDelta(content='{"city": "Paris"}'), end())
    parsed = await openai.responses.parse(model="tiny", input="hi", text_format=Weather)
    assert parsed.output_parsed == Weather(city="Paris")
    form = chat.requests[0].response_format
    assert form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["properties"]["city"]["type"] == "string"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineError("broken"), "server_error"),
        (RuntimeError("secret"), "server_error"),
        (DeadlineError(2.0), "timeout"),
        (ConstraintError("too much"), "grammar_limit_exceeded"),
    ],
)
@pytest.mark.parametrize("n_before", range(4))
async def test_an_error_in_the_middle_is_told_and_ends_the_stream(chat, stream, error, code, n_before):
    chat.script = (*MIXED[:n_before], error)
    events = await stream(tools=[WEATHER, PATCH, IN_NAMESPACE])
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert (events[-2]["code"], events[-1]["response"]["error"]["code"]) == (code, code)
    assert events[-1]["response"]["status"] == "failed"
    assert fold(events) == events[-1]["response"]["output"]
    assert "secret" not in str(events)


async def test_a_failed_response_is_not_stored(chat, stream, http):
    chat.script = (ChatDelta(content="a"), EngineError("broken"))
    events = await stream()
    found = await http.get(f"/v1/responses/{events[-1]['response']['id']}")
    assert found.status_code == 404


@pytest.mark.parametrize("n", range(1, 9))
async def test_a_client_that_leaves_stops_the_generation(app, chat, n):
    """At every event: what was sent is counted, and then the client is gone."""
    never = asyncio.Event()
    chat.script = (*MIXED[:n], never)
    sent, left = [], asyncio.Event()
    body = b'{"model": "tiny", "input": "hi", "stream": true, "tools": [{"type": "custom", "name": "patch"}]}'
    requests = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive():
        for message in requests:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if sum(m["type"] == "http.response.body" for m in sent) > n:
            left.set()

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/responses",
        "raw_path": b"/v1/responses",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
    }
    await asyncio.wait_for(app(scope, receive, send), 5)
    assert chat.streams[0].is_closed.is_set()


PIECES = st.one_of(
    st.text(st.sampled_from("a \n\u4e16"), max_size=3).map(lambda text: ("content", text)),
    st.text(st.sampled_from("t "), min_size=1, max_size=3).map(lambda text: ("reasoning", text)),
    st.tuples(st.just("call"), st.sampled_from(["get_weather", "patch", "mcp.patch"]), st.text(max_size=5)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(pieces=st.lists(PIECES, max_size=8), reason=st.sampled_from(["stop", "length"]), cut=st.integers(1, 4))
def test_any_deltas_fold_to_their_response_however_they_are_cut(pieces, reason, cut):
    """Content, thoughts and calls in any order; the cuts change no item."""
    assert _asked(pieces, reason, 1) == _asked(pieces, reason, cut)


def _asked(pieces, reason, size):
    ignored = IgnoredParameters()
    tools = read_tools([WEATHER, PATCH, IN_NAMESPACE], ignored)
    wanted = read_request({"model": "tiny", "input": "hi"}, ignored)
    head = ResponseHead(wanted, tools, Places(), 0, "fg", is_stored=False, id="resp_" + "0" * 32)
    builder = ResponseBuilder(head, lambda: 1.0)
    events = builder.begin()
    for delta in _deltas(pieces, reason, size):
        events += builder.add(delta)
    assert fold(events) == builder.response["output"]
    statuses = [item["status"] for item in builder.response["output"]]
    assert statuses[:-1] == ["completed"] * (len(statuses) - 1)
    assert statuses[-1] == ("completed" if reason == "stop" else "incomplete")
    return builder.response


def _deltas(pieces, reason, size):
    n_calls = itertools.count()
    for kind, *told in pieces:
        if kind == "call":
            name, written = told
            arguments = json.dumps({"input": written})
            cuts = (arguments[i : i + size] for i in range(0, len(arguments), size))
            yield from call(next(n_calls), name, *cuts)
        else:
            for i in range(0, len(told[0]), size):
                yield ChatDelta(**{kind: told[0][i : i + size]})
    yield end(reason)


async def test_the_ids_of_the_sdks_items_name_their_response(ask):
    body = (await ask()).json()
    assert re.fullmatch(r"resp_[0-9a-f]{32}", body["id"])
    assert body["output"][0]["id"] == f"msg_{body['id'].removeprefix('resp_')}0"


async def test_without_a_store_a_response_says_that_it_is_not_kept(completion):
    state = ServingState()
    state.ready(served(ScriptedChat(), completion))
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        client = AsyncOpenAI(http_client=http, base_url="http://test/v1", api_key="any", max_retries=0)
        assert (await client.responses.create(model="tiny", input="hi")).store is False
        for fields, param in (
            ({"store": True}, "store"),
            ({"previous_response_id": "resp_1"}, "previous_response_id"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ):
            refused = await http.post("/v1/responses", json={"model": "tiny", "input": "hi", **fields})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
            assert "--store 0" in refused.json()["error"]["message"]
