"""POST /v1/chat/completions as the OpenAI SDK and plain HTTP see it."""

from __future__ import annotations

import json

import pytest
from openai import pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel
from scripted_chat import CALLS, TEXT, USAGE

from server.api.chat.schemas import IGNORED
from server.chat.decisions.report import CallReport, Choice, Decisions, Option
from server.chat.request import ChatDelta, Thinking
from server.chat.schemas.warning import SchemaWarning
from server.engine.types import SamplingParams

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
MESSAGES = [{"role": "user", "content": "hi"}]


class GetWeather(BaseModel):
    city: str


def chunks_of(text):
    events = [event.removeprefix("data: ") for event in text.split("\n\n") if event.startswith("data: ")]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


async def test_a_text_answer_is_a_chat_completion(ask):
    body = (await ask()).json()
    ChatCompletion.model_validate(body, strict=True)
    message = body["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == ("Hello, 世界", None)
    assert "tool_calls" not in message
    assert "reasoning_content" not in message
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["logprobs"] is None
    assert (body["model"], body["system_fingerprint"]) == ("tiny", "fg_test")


async def test_usage_tells_what_was_cached_and_what_was_forced(ask):
    usage = (await ask()).json()["usage"]
    assert usage["total_tokens"] == USAGE.prompt + USAGE.completion
    assert usage["prompt_tokens_details"]["cached_tokens"] == USAGE.cached
    assert usage["functiongate"] == {"decode_steps": USAGE.decode_steps, "forced_tokens": USAGE.forced}


async def test_an_answer_of_calls_alone_has_null_content(chat, ask):
    chat.script = CALLS
    choice = (await ask(tools=[WEATHER])).json()["choices"][0]
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["call_a", "call_b"]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'


async def test_an_empty_answer_has_empty_content(chat, ask):
    chat.script = (ChatDelta(finish_reason="stop", usage=USAGE),)
    assert (await ask()).json()["choices"][0]["message"]["content"] == ""
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of((await ask(stream=True)).text)]
    assert [delta["content"] for delta in deltas if delta.get("content") is not None] == [""]


async def test_a_stream_begins_with_the_role_alone(ask):
    first, *others = (chunk["choices"][0]["delta"] for chunk in chunks_of((await ask(stream=True)).text))
    assert first == {"role": "assistant", "content": None, "refusal": None}
    assert others
    assert not any("role" in delta for delta in others)


async def test_the_sdks_stream_adds_up_to_the_whole_answer(chat, openai):
    reasoned = (ChatDelta(reasoning="hm"), ChatDelta(reasoning="m"))
    empty = (ChatDelta(content=" "), ChatDelta(finish_reason="length", usage=USAGE))
    scripts = [TEXT, CALLS, reasoned + TEXT, reasoned + CALLS, (ChatDelta(content="  \n"), *TEXT), TEXT[:2] + CALLS]
    for script in [*scripts, reasoned + empty]:
        chat.script = script
        arguments = {"model": "tiny", "messages": MESSAGES, "tools": [WEATHER]}
        whole = await openai.chat.completions.create(**arguments)
        options = {"include_usage": True, "include_obfuscation": False}
        stream = await openai.chat.completions.create(**arguments, stream=True, stream_options=options)
        pieces = [piece async for piece in stream]
        assert whole.usage == pieces[-1].usage
        # The helper's state is the strictest reader: it concatenates every string that comes twice.
        from openai.lib.streaming.chat import ChatCompletionStreamState

        collected = ChatCompletionStreamState()
        for piece in pieces:
            collected.handle_chunk(piece)
        snapshot = collected.current_completion_snapshot.choices[0]
        expected = whole.choices[0].message
        assert snapshot.message.role == "assistant"
        assert snapshot.message.content == expected.content
        assert snapshot.finish_reason == whole.choices[0].finish_reason
        extra = (snapshot.message.model_extra or {}).get("reasoning_content")
        assert extra == (expected.model_extra or {}).get("reasoning_content")
        calls = [(c.id, c.type, c.function.name, c.function.arguments) for c in snapshot.message.tool_calls or []]
        assert calls == [(c.id, c.type, c.function.name, c.function.arguments) for c in expected.tool_calls or []]


async def test_the_stream_helper_parses_calls_into_their_models(chat, openai):
    chat.script = CALLS
    tool = pydantic_function_tool(GetWeather, name="get_weather")
    async with openai.chat.completions.stream(model="tiny", messages=MESSAGES, tools=[tool]) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    assert [call.function.parsed_arguments for call in final.choices[0].message.tool_calls] == [
        GetWeather(city="Paris"),
        GetWeather(city="Oslo"),
    ]


async def test_parse_makes_models_of_arguments(chat, openai):
    chat.script = CALLS
    tool = pydantic_function_tool(GetWeather, name="get_weather")
    answer = await openai.chat.completions.parse(model="tiny", messages=MESSAGES, tools=[tool])
    assert answer.choices[0].message.tool_calls[1].function.parsed_arguments == GetWeather(city="Oslo")
    assert "strict" not in chat.requests[0].tools[0]["function"]


async def test_an_answer_can_be_sent_back_as_history(chat, openai):
    chat.script = CALLS
    tool = pydantic_function_tool(GetWeather, name="get_weather")
    answer = await openai.chat.completions.parse(model="tiny", messages=MESSAGES, tools=[tool])
    history = [*MESSAGES, answer.choices[0].message.model_dump()]
    history += [{"role": "tool", "tool_call_id": "call_a", "content": "rain"}]
    await openai.chat.completions.create(model="tiny", messages=history, tools=[tool])
    echoed = chat.requests[-1].messages[1]
    assert set(echoed) == {"role", "content", "tool_calls"}
    assert echoed["tool_calls"][0] == {
        "id": "call_a",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }


async def test_chunks_share_one_head_and_say_role_and_names_once(chat, ask):
    chat.script = CALLS
    chunks = chunks_of((await ask(stream=True, tools=[WEATHER])).text)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [("role" in delta) for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    assert deltas[0]["content"] is None
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [call["id"] for call in calls if "id" in call] == ["call_a", "call_b"]
    assert [call["function"]["name"] for call in calls if "name" in call["function"]] == ["get_weather"] * 2
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [None, "tool_calls"]
    assert deltas[-1] == {}
    assert "usage" not in chunks[0]


async def test_warnings_are_in_the_answer_and_in_the_chunk_that_ends_it(chat, ask):
    degraded = SchemaWarning("schema_degraded", "f", "tools[0].function.parameters", "why", keyword="not")
    invalid = SchemaWarning("arguments_invalid", "f", "$.v", "what", tool_call_id="call_a")
    chat.script = [*CALLS[:-1], ChatDelta(finish_reason="tool_calls", usage=USAGE, warnings=(degraded, invalid))]
    whole = (await ask()).json()["warnings"]
    assert whole[0] == {
        "type": "schema_degraded",
        "tool": "f",
        "path": "tools[0].function.parameters",
        "keyword": "not",
        "message": "why",
    }
    assert whole[1]["tool_call_id"] == "call_a"
    chunks = chunks_of((await ask(stream=True)).text)
    assert [chunk.get("warnings") for chunk in chunks if "warnings" in chunk] == [whole]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    chat.script = TEXT
    assert "warnings" not in (await ask()).json()


async def test_decisions_are_in_the_answer_and_in_the_chunk_that_ends_it(chat, ask):
    tool = Choice("get_weather", 0.8765432, (Option("get_time", 0.1),))
    report = Decisions(Choice("call", is_forced=True), (CallReport("get_weather", Choice("call", 0.5), tool),))
    chat.script = [*CALLS[:-1], ChatDelta(finish_reason="tool_calls", usage=USAGE, decisions=report)]
    whole = (await ask(decisions=True)).json()["decisions"]
    assert whole["call"] == {"chosen": "call", "p": 1.0, "forced": True, "alternatives": []}
    assert whole["calls"][0]["tool"] == {
        "chosen": "get_weather",
        "p": 0.876543,
        "forced": False,
        "alternatives": [{"chosen": "get_time", "p": 0.1}],
    }
    assert whole["calls"][0]["confidence"] == whole["calls"][0]["p"] == round(0.5 * 0.8765432, 6)
    chunks = chunks_of((await ask(decisions=True, stream=True, stream_options={"include_usage": True})).text)
    assert [i for i, chunk in enumerate(chunks) if "decisions" in chunk] == [len(chunks) - 2]  # before the usage
    assert chunks[-2]["decisions"] == whole
    chat.script = TEXT
    assert "decisions" not in (await ask()).json()


async def test_decisions_and_the_confidence_that_a_call_needs_reach_the_chat(chat, ask):
    await ask()
    await ask(decisions=True, min_confidence=0.5, tools=[WEATHER])
    await ask(decisions=False, min_confidence=None)
    assert [(request.wants_decisions, request.min_confidence) for request in chat.requests] == [
        (False, None),
        (True, 0.5),
        (False, None),
    ]


@pytest.mark.parametrize("strict", [True, False, None])
async def test_strict_reaches_the_chat_and_not_the_prompt(chat, ask, strict):
    strict_tool = {"type": "function", "function": {**WEATHER["function"], "strict": strict}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "strict": strict}}
    await ask(tools=[strict_tool], response_format=form)
    (request,) = chat.requests
    assert request.strict_tools == (frozenset({"get_weather"}) if strict else frozenset())
    assert request.tools == (WEATHER,)
    assert request.response_format["json_schema"]["strict"] is (strict is True)


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object", "schema": {"const": 42}}},
        {"json_schema": {"const": 42}},
        {"guided_json": {"const": 42}, "response_format": None},
    ],
)
async def test_a_schema_of_other_servers_dialects_is_a_response_format(chat, ask, fields):
    assert (await ask(**fields)).status_code == 200
    expected = {"type": "json_schema", "json_schema": {"name": "response", "schema": {"const": 42}, "strict": False}}
    assert chat.requests[0].response_format == expected


async def test_usage_comes_last_and_only_when_asked_for(ask):
    chunks = chunks_of((await ask(stream=True, stream_options={"include_usage": True})).text)
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == USAGE.completion


async def test_everything_honoured_reaches_the_chat(chat, ask):
    schema = {"name": "x", "schema": {"type": "object"}, "strict": True}
    response = await ask(
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": schema},
        stop="END",
        seed=-1,
        max_completion_tokens=7,
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        repeat_penalty=1.1,
        presence_penalty=-1,
        frequency_penalty=1,
        logit_bias={"3": -100},
        chat_template_kwargs={"enable_thinking": True},
        reasoning_effort="none",
    )
    assert response.status_code == 200
    request = chat.requests[0]
    assert request.tools == (WEATHER,)
    assert request.tool_choice == {"type": "function", "function": {"name": "get_weather"}}
    assert request.parallel_tool_calls is False
    expected = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
    assert request.response_format == expected
    assert (request.stop, request.max_tokens) == (("END",), 7)
    assert (request.template_kwargs, request.thinking.is_on) == ({"enable_thinking": True}, False)
    assert request.sampling == SamplingParams(0.5, 40, 0.9, 0.1, 1.1, -1, 1, {3: -100}, seed=2**64 - 1)


@pytest.mark.parametrize("mode", ["auto", "required"])
async def test_allowed_tools_leave_the_tools_as_they_are(chat, openai, mode):
    others = [{**WEATHER, "function": {**WEATHER["function"], "name": name}} for name in ("a", "b")]
    names = [{"type": "function", "function": {"name": name}} for name in ("b", "get_weather")]
    await openai.chat.completions.create(
        model="tiny",
        messages=MESSAGES,
        tools=[WEATHER, *others],
        tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": names}},
    )
    request = chat.requests[0]
    assert request.tools == (WEATHER, *others)
    assert (request.tool_choice, request.allowed_tools) == (mode, {"b", "get_weather"})


async def test_defaults_are_openais(chat, ask):
    await ask(temperature=None, tools=None, stop=None)
    request = chat.requests[0]
    assert request.sampling == SamplingParams(temperature=1.0, top_p=1.0)
    assert (request.max_tokens, request.stop, request.tools) == (None, (), ())
    assert (request.tool_choice, request.parallel_tool_calls) == ("none", True)
    assert (request.template_kwargs, request.thinking) == ({}, Thinking())
    await ask(tools=[WEATHER])
    assert chat.requests[1].tool_choice == "auto"


async def test_ignored_parameters_change_nothing(chat, ask):
    values = {"metadata": {"a": "b"}, "store": True}
    ignored = {name: values.get(name, "text") for name in IGNORED}
    assert (await ask(**ignored)).status_code == 200
    assert (await ask()).status_code == 200
    assert chat.requests[0] == chat.requests[1]


async def test_the_documentation_lists_exactly_what_is_ignored():
    from server.api.chat import schemas

    table = schemas.__doc__.split("Accepted and ignored:")[1]
    names = {word.strip() for line in table.splitlines() for word in line.strip().split("  ")[0].split(",")} - {""}
    assert names == IGNORED | {"stream_options.include_obfuscation"}


@pytest.mark.parametrize(
    "neutral",
    [
        {"n": 1},
        {"logprobs": False},
        {"modalities": ["text"]},
        {"functions": []},
        {"audio": None},
        {"top_logprobs": 0},
    ],
)
async def test_a_parameter_that_asks_for_nothing_passes(ask, neutral):
    assert (await ask(**neutral)).status_code == 200


async def test_every_name_of_the_model_is_accepted_and_answered_with(ask):
    for name in ("tiny", "tiny-file"):
        assert (await ask(model=name)).json()["model"] == name
