"""The obsolete `functions`, as clients that never changed send and read them."""

from __future__ import annotations

import json

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from scripted_chat import CALLS, TEXT

from server.chat.request import ChatDelta
from server.errors import RequestError

WEATHER = {"name": "get_weather", "description": "Weather", "parameters": {"type": "object"}}
MESSAGES = [{"role": "user", "content": "hi"}]


async def test_functions_are_tools_with_room_for_one_call(chat, ask):
    assert (await ask(functions=[WEATHER, {"name": "now"}], function_call={"name": "now"})).status_code == 200
    request = chat.requests[0]
    assert request.tools == (
        {"type": "function", "function": WEATHER},
        {"type": "function", "function": {"name": "now"}},
    )
    assert request.tool_choice == {"type": "function", "function": {"name": "now"}}
    assert request.parallel_tool_calls is False


@pytest.mark.parametrize(("given", "meant"), [(None, "auto"), ("auto", "auto"), ("none", "none")])
async def test_the_obsolete_choice_is_the_present_one(chat, ask, given, meant):
    await ask(functions=[WEATHER], function_call=given)
    assert chat.requests[0].tool_choice == meant


async def test_the_answer_is_the_first_call_as_function_call(chat, openai, ask):
    chat.script = CALLS
    answer = await openai.chat.completions.create(model="tiny", messages=MESSAGES, functions=[WEATHER])
    choice = answer.choices[0]
    assert choice.finish_reason == "function_call"
    assert (choice.message.function_call.name, choice.message.function_call.arguments) == (
        "get_weather",
        '{"city": "Paris"}',
    )
    assert choice.message.content is None
    assert choice.message.tool_calls is None
    body = (await ask(functions=[WEATHER])).json()
    ChatCompletion.model_validate(body, strict=True)
    assert "tool_calls" not in body["choices"][0]["message"]


async def test_the_stream_says_the_name_once_and_then_the_arguments(chat, openai):
    chat.script = CALLS
    stream = await openai.chat.completions.create(model="tiny", messages=MESSAGES, functions=[WEATHER], stream=True)
    chunks = [chunk async for chunk in stream]
    calls = [chunk.choices[0].delta.function_call for chunk in chunks if chunk.choices[0].delta.function_call]
    assert [call.name for call in calls] == ["get_weather", None, None]
    assert "".join(call.arguments for call in calls) == '{"city": "Paris"}'
    assert not any(chunk.choices[0].delta.tool_calls for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "function_call"


async def test_the_sdks_stream_state_adds_up_to_the_whole_answer(chat, ask):
    from openai.lib.streaming.chat import ChatCompletionStreamState

    for script in (CALLS, TEXT, (*CALLS[:3], ChatDelta(finish_reason="length", usage=TEXT[-1].usage))):
        chat.script = script
        whole = (await ask(functions=[WEATHER])).json()["choices"][0]
        text = (await ask(functions=[WEATHER], stream=True, stream_options={"include_usage": True})).text
        collected = ChatCompletionStreamState()
        for event in text.split("\n\n"):
            if event.startswith("data: {"):
                collected.handle_chunk(ChatCompletionChunk.model_validate(json.loads(event[6:]), strict=True))
        snapshot = collected.current_completion_snapshot.choices[0]
        called = snapshot.message.function_call
        assert (called and called.model_dump()) == whole["message"].get("function_call")
        assert snapshot.message.content == whole["message"]["content"]
        assert snapshot.finish_reason == whole["finish_reason"]


async def test_an_answer_goes_back_as_history(chat, openai):
    chat.script = CALLS
    answer = await openai.chat.completions.create(model="tiny", messages=MESSAGES, functions=[WEATHER])
    history = [*MESSAGES, answer.choices[0].message.model_dump()]
    history += [{"role": "function", "name": "get_weather", "content": "rain"}]
    await openai.chat.completions.create(model="tiny", messages=history, functions=[WEATHER])
    calling, result = chat.requests[-1].messages[1:]
    assert calling["tool_calls"][0]["id"] == result["tool_call_id"]
    assert calling["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Paris"}'}


async def test_a_refusal_names_the_place_in_the_functions(chat, ask):
    place = "tools[0].function.parameters.properties.city"
    chat.refusal = RequestError(f"cannot be enforced at {place}", param=place)
    error = (await ask(functions=[WEATHER])).json()["error"]
    assert error["param"] == "functions[0].parameters.properties.city"
    assert error["message"] == "cannot be enforced at functions[0].parameters.properties.city"
