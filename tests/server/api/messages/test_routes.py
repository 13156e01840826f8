"""POST /v1/messages as Anthropic's SDK and plain HTTP see it."""

from __future__ import annotations

import asyncio
import json

import anthropic as sdk
import pytest
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
from leaving_client import run_until_left
from pydantic import BaseModel, TypeAdapter
from scripted_chat import CALLS, TEXT, USAGE

from server.chat.decisions.report import Choice, Decisions
from server.chat.loop.results import is_error
from server.chat.request import ChatDelta, Thinking, ToolCallDelta
from server.chat.schemas.warning import SchemaWarning
from server.engine.types import SamplingParams
from server.errors import EngineError

WEATHER = {"name": "get_weather", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
MESSAGES = [{"role": "user", "content": "hi"}]
THOUGHT = (ChatDelta(reasoning="hm"), ChatDelta(reasoning="m"))
BARE = (
    ChatDelta(tool_call=ToolCallDelta(0, "call_a", "now")),
    ChatDelta(tool_call=ToolCallDelta(0, arguments="{}")),
    ChatDelta(finish_reason="tool_calls", usage=USAGE),
)
CUT = (*CALLS[:3], ChatDelta(finish_reason="length", usage=USAGE))
NOTHING = (ChatDelta(content=" \n"), ChatDelta(finish_reason="stop", usage=USAGE))
BETWEEN = (CALLS[1], CALLS[3], ChatDelta(content=" "), ChatDelta(content="and"), *CALLS[4:])
SCRIPTS = {
    "text": TEXT,
    "calls": CALLS,
    "text and calls": TEXT[:2] + CALLS,
    "thought and text": THOUGHT + TEXT,
    "thought and calls": THOUGHT + CALLS,
    "no arguments": BARE,
    "a call that was cut": CUT,
    "nothing": NOTHING,
    "text between calls": (CALLS[1], ChatDelta(tool_call=ToolCallDelta(0, arguments="{}")), *BETWEEN[2:]),
    "stopped": (*TEXT[:3], ChatDelta(finish_reason="stop", usage=USAGE, stop="END")),
}


def events_of(text):
    parts = [part.split("\n") for part in text.split("\n\n") if part]
    events = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]
    assert all(name == event["type"] for name, event in events)
    return [event for _, event in events]


async def test_a_text_answer_is_a_message(send):
    body = (await send()).json()
    Message.model_validate(body, strict=True)
    assert body["content"] == [{"type": "text", "text": "Hello, 世界"}]
    assert (body["role"], body["model"], body["stop_reason"], body["stop_sequence"]) == (
        "assistant",
        "tiny",
        "end_turn",
        None,
    )
    assert body["id"].startswith("msg_")


async def test_the_tokens_of_a_prompt_are_those_that_were_found_and_those_that_were_not(send):
    usage = (await send()).json()["usage"]
    assert usage == {
        "input_tokens": USAGE.prompt - USAGE.cached,
        "cache_read_input_tokens": USAGE.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": USAGE.completion,
    }
    first, *_, last, _ = events_of((await send(stream=True)).text)
    assert first["message"]["usage"]["input_tokens"] == USAGE.prompt
    assert last["usage"] == usage


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_the_sdks_stream_adds_up_to_the_whole_message(chat, anthropic, script):
    chat.script = script
    arguments = {"model": "tiny", "max_tokens": 100, "messages": MESSAGES, "tools": [WEATHER]}
    whole = await anthropic.messages.create(**arguments)
    async with anthropic.messages.stream(**arguments) as stream:
        collected = await stream.get_final_message()
    assert whole.content
    assert collected.to_dict() == {**whole.to_dict(), "id": collected.id}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_every_event_is_one_of_the_sdks_and_blocks_come_one_after_the_other(chat, send, script):
    chat.script = script
    first, *middle, last, stop = events_of((await send(stream=True, tools=[WEATHER])).text)
    for event in (first, *middle, last, stop):
        TypeAdapter(RawMessageStreamEvent).validate_python(event, strict=True)
    assert [first["type"], last["type"], stop["type"]] == ["message_start", "message_delta", "message_stop"]
    is_open, n_blocks = False, 0
    for event in middle:
        assert event["index"] == (n_blocks - 1 if is_open else n_blocks)
        assert is_open is (event["type"] != "content_block_start")
        n_blocks += event["type"] == "content_block_start"
        is_open = event["type"] != "content_block_stop"
    assert not is_open
    assert n_blocks > 0


async def test_calls_are_blocks_with_objects_and_ids_of_their_kind(chat, send):
    chat.script = CALLS
    body = (await send(tools=[WEATHER])).json()
    assert body["stop_reason"] == "tool_use"
    assert body["content"] == [
        {"type": "tool_use", "id": "toolu_a", "name": "get_weather", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "toolu_b", "name": "get_weather", "input": {"city": "Oslo"}},
    ]


async def test_the_stream_helper_tells_text_and_arguments_as_they_come(chat, anthropic):
    chat.script = TEXT[:2] + CALLS
    async with anthropic.messages.stream(model="tiny", max_tokens=9, messages=MESSAGES, tools=[WEATHER]) as stream:
        events = [event async for event in stream]
    assert "".join(event.text for event in events if event.type == "text").strip() == "Hello,"
    assert [event.snapshot for event in events if event.type == "input_json"][-1] == {"city": "Oslo"}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (TEXT, "end_turn"),
        (CALLS, "tool_use"),
        (SCRIPTS["stopped"], "stop_sequence"),
        (CUT, "max_tokens"),
    ],
)
async def test_why_an_answer_ended_is_told(chat, send, script, reason):
    chat.script = script
    body = (await send(max_tokens=USAGE.completion)).json()
    assert body["stop_reason"] == reason
    assert body["stop_sequence"] == ("END" if reason == "stop_sequence" else None)


async def test_an_answer_that_the_context_cut_says_so(chat, send):
    chat.script = CUT
    assert (await send(max_tokens=USAGE.completion + 1)).json()["stop_reason"] == "model_context_window_exceeded"


async def test_a_prompt_may_be_evaluated_and_not_answered(chat, send, anthropic):
    for script in (TEXT, CALLS):
        chat.script = script
        body = (await send(max_tokens=0)).json()
        assert (body["content"], body["stop_reason"], body["usage"]["output_tokens"]) == ([], "max_tokens", 0)
        async with anthropic.messages.stream(model="tiny", max_tokens=0, messages=MESSAGES) as stream:
            assert (await stream.get_final_message()).content == []
        assert chat.requests[-1].max_tokens == 1


async def test_thoughts_that_are_not_to_be_seen_are_not_sent(chat, send):
    chat.script = THOUGHT + TEXT
    for display, thought in (("omitted", ""), ("summarized", "hmm")):
        thinking = {"type": "adaptive", "display": display}
        block = (await send(thinking=thinking)).json()["content"][0]
        assert block == {"type": "thinking", "thinking": thought, "signature": ""}


async def test_silence_is_filled_with_pings_that_are_data(chat, http, anthropic):
    proceed = asyncio.Event()
    chat.script = (proceed, *TEXT)
    body = {"model": "tiny", "max_tokens": 9, "messages": MESSAGES, "stream": True}
    request = asyncio.ensure_future(http.post("/v1/messages", json=body))
    asyncio.get_running_loop().call_later(0.3, proceed.set)
    kinds = [event["type"] for event in events_of((await request).text)]
    assert kinds[:3] == ["message_start", "ping", "ping"]
    proceed.clear()
    chat.script = (proceed, *TEXT)
    asyncio.get_running_loop().call_later(0.2, proceed.set)
    async with anthropic.messages.stream(model="tiny", max_tokens=9, messages=MESSAGES) as stream:
        assert await stream.get_final_text() == "Hello, 世界"


@pytest.mark.parametrize("failure", [EngineError("the context broke"), ValueError("secret")])
@pytest.mark.parametrize("script", [(), TEXT[:1], CALLS[:3]])
async def test_an_error_in_the_middle_is_the_last_event(chat, send, anthropic, failure, script):
    chat.script = (*script, failure)
    response = await send(stream=True)
    last = events_of(response.text)[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert last["request_id"] == response.headers["request-id"]
    assert "message_stop" not in response.text
    assert "secret" not in response.text
    with pytest.raises(sdk.APIStatusError):
        async with anthropic.messages.stream(model="tiny", max_tokens=9, messages=MESSAGES) as stream:
            await stream.until_done()
    assert all(stream.is_closed.is_set() for stream in chat.streams)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n_events", range(len(CALLS)))
async def test_a_client_that_leaves_stops_its_generation(chat, app, stream, n_events):
    never, leave = asyncio.Event(), asyncio.Event()
    chat.script = (*CALLS[:n_events], never)
    asyncio.get_running_loop().call_later(0.05, leave.set)
    body = {"model": "tiny", "max_tokens": 9, "messages": MESSAGES, "stream": stream}
    sent = await run_until_left(app, "/v1/messages", body, leave)
    assert chat.streams[0].is_closed.is_set()
    assert not any(b"message_stop" in message.get("body", b"") for message in sent)


async def test_everything_honoured_reaches_the_chat(chat, send):
    response = await send(
        "/v1/messages?beta=true",
        tools=[{**WEATHER, "type": "custom", "strict": True}],
        tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
        stop_sequences=["END", "a", "b", "c", "d"],
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        seed=-1,
        call_bias=1.5,
        chat_template_kwargs={"x": 1},
        prompt_cache_key="mine",
        timeout=3,
    )
    assert response.status_code == 200
    assert "warnings" not in response.json()
    request = chat.requests[0]
    assert request.tools == (FUNCTION,)
    assert request.tool_choice == {"type": "function", "function": {"name": "get_weather"}}
    assert (request.parallel_tool_calls, request.strict_tools) == (False, {"get_weather"})
    form = {"name": "output", "schema": {"type": "object"}, "strict": True}
    assert request.response_format == {"type": "json_schema", "json_schema": form}
    assert (request.stop, request.max_tokens) == (("END", "a", "b", "c", "d"), 7)
    assert request.sampling == SamplingParams(temperature=0.5, top_k=40, top_p=0.9, min_p=0.1, seed=2**64 - 1)
    assert (request.call_bias, request.template_kwargs) == (1.5, {"x": 1})
    assert (request.terms.cache_key, request.terms.timeout_s) == ("/mine", 3)


async def test_the_defaults_are_those_of_every_dialect(chat, send, ask):
    await send(tools=[WEATHER], tool_choice=None, system=None)
    await ask(tools=[FUNCTION], max_tokens=100)
    assert chat.requests[0] == chat.requests[1]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ("auto", True)),
        ({"type": "any"}, ("required", True)),
        ({"type": "none"}, ("none", True)),
        ({"type": "any", "disable_parallel_tool_use": True}, ("required", False)),
        ({"type": "auto", "disable_parallel_tool_use": True}, ("auto", False)),
    ],
)
async def test_a_choice_is_a_mode_of_the_chats(chat, send, choice, expected):
    await send(tools=[WEATHER], tool_choice=choice)
    assert (chat.requests[0].tool_choice, chat.requests[0].parallel_tool_calls) == expected


@pytest.mark.parametrize(
    ("fields", "wish"),
    [
        ({}, Thinking()),
        ({"thinking": {"type": "disabled"}}, Thinking(is_on=False)),
        ({"thinking": {"type": "adaptive"}}, Thinking()),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, Thinking(max_tokens=1024)),
        ({"output_config": {"effort": "low"}}, Thinking(effort="low")),
    ],
)
async def test_a_wish_for_thoughts_is_heard(chat, send, fields, wish):
    assert "warnings" not in (await send(**fields)).json()
    assert chat.requests[0].thinking == wish


async def test_what_has_no_effect_is_named_at_the_end_and_marks_of_a_cache_are_not(chat, send):
    mark = {"type": "ephemeral"}
    fields = {
        "tools": [{**WEATHER, "cache_control": mark, "defer_loading": True}, {"type": "web_search_20250305"}],
        "system": [{"type": "text", "text": "Be kind.", "cache_control": mark}],
        "cache_control": mark,
        "metadata": {"user_id": "x"},
        "service_tier": "auto",
        "context_management": {"edits": []},
        "thread": {"type": "create"},
        "output_config": {"task_budget": {"type": "tokens", "total": 5}},
        "speed": None,
    }
    whole = (await send(**fields)).json()
    named = [warning["param"] for warning in whole["warnings"]]
    assert named == [
        "context_management",
        "thread",
        "output_config.task_budget",
        "tools[0].defer_loading",
        "tools[1]",
    ]
    assert events_of((await send(stream=True, **fields)).text)[-2]["warnings"] == whole["warnings"]
    assert chat.requests[0].tools == (FUNCTION,)


async def test_warnings_and_decisions_name_things_as_the_client_wrote_them(chat, send):
    path = "tools[0].function.parameters.properties.x"
    degraded = SchemaWarning("schema_degraded", "f", path, f"{path} is not enforced", keyword="not")
    invalid = SchemaWarning("arguments_invalid", "f", "$.v", "what", tool_call_id="call_a")
    report = Decisions(Choice("call", is_forced=True), ())
    end = ChatDelta(finish_reason="tool_calls", usage=USAGE, warnings=(degraded, invalid), decisions=report)
    chat.script = (*CALLS[:-1], end)
    body = (await send(tools=[{"type": "bash_20250124", "name": "bash"}, WEATHER], decisions=True)).json()
    _, first, second = body["warnings"]
    assert first["path"] == "tools[1].input_schema.properties.x"
    assert first["message"] == "tools[1].input_schema.properties.x is not enforced"
    assert second["tool_call_id"] == body["content"][0]["id"]
    assert body["decisions"]["call"]["chosen"] == "call"


async def test_what_is_left_out_is_named_where_it_stood_in_every_field_of_its_warning(send):
    thought = {"type": "thinking", "thinking": "hm", "signature": "x"}
    messages = [*MESSAGES, {"role": "assistant", "content": [thought, {"type": "text", "text": "yo"}]}, *MESSAGES]
    tools = [{"type": "bash_20250124", "name": "bash"}, {**WEATHER, "defer_loading": True}]
    body = (await send(system="Be kind.", messages=messages, tools=tools)).json()
    told = {warning["param"]: warning["message"] for warning in body["warnings"]}
    assert list(told) == ["tools[0]", "tools[1].defer_loading", "messages[1].content[0]"]
    assert all(message.startswith(f"{param} is accepted") for param, message in told.items())


async def test_an_answer_can_be_sent_back_as_history(chat, anthropic):
    chat.script = THOUGHT + TEXT[:2] + CALLS
    arguments = {"model": "tiny", "max_tokens": 9, "tools": [WEATHER]}
    answer = await anthropic.messages.create(**arguments, messages=MESSAGES)
    ids = [block.id for block in answer.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": ids[0], "content": "rain"},
        {"type": "tool_result", "tool_use_id": ids[1], "content": [{"type": "text", "text": "sun"}]},
        {"type": "text", "text": "and now?"},
    ]
    history = [*MESSAGES, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    await anthropic.messages.create(**arguments, messages=history)
    _, said, first, second, user = chat.requests[-1].messages
    assert said == {
        "role": "assistant",
        "content": "Hello, \n",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}},
            {"id": "b", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}},
        ],
    }
    assert first == {"role": "tool", "tool_call_id": "a", "content": "rain"}
    assert second == {"role": "tool", "tool_call_id": "b", "content": "sun"}
    assert user == {"role": "user", "content": "and now?"}


@pytest.mark.parametrize("content", ["no such city", "", '{"message": "no such city"}'])
async def test_a_result_that_failed_reads_as_an_error(chat, send, content):
    use = {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_a", "content": content, "is_error": True}
    await send(messages=[*MESSAGES, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}])
    told = chat.requests[0].messages[-1]["content"]
    assert is_error(told)
    assert content in told


async def test_tokens_are_counted_as_the_prompt_has_them(chat, anthropic):
    count = await anthropic.messages.count_tokens(model="tiny", messages=MESSAGES, system="Be kind.", tools=[WEATHER])
    assert count == MessageTokensCount(input_tokens=3)
    assert [message["role"] for message in chat.requests[0].messages] == ["system", "user"]
    assert chat.streams == []


async def test_a_conversation_is_counted_whoever_spoke_last(anthropic):
    messages = [*MESSAGES, {"role": "assistant", "content": "Hello"}]
    assert (await anthropic.messages.count_tokens(model="tiny", messages=messages)).input_tokens == 3


async def test_beta_clients_are_answered_alike(anthropic, chat):
    chat.script = CALLS
    answer = await anthropic.beta.messages.create(
        model="tiny",
        max_tokens=9,
        messages=MESSAGES,
        tools=[WEATHER],
        betas=["context-1m-2025-08-07", "whatever-2026-01-01"],
    )
    assert [block.name for block in answer.content] == ["get_weather", "get_weather"]


async def test_parse_makes_a_model_of_the_answer(anthropic, chat):
    class City(BaseModel):
        name: str

    chat.script = (ChatDelta(content='{"name": "Oslo"}'), TEXT[-1])
    answer = await anthropic.messages.parse(model="tiny", max_tokens=9, messages=MESSAGES, output_format=City)
    assert answer.parsed_output == City(name="Oslo")
    assert chat.requests[0].response_format["json_schema"]["schema"]["required"] == ["name"]
