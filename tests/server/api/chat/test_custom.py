"""Custom tools: a name and a text, which models are shown as a function with one string."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_chat import USAGE

from server.api.request.custom import InputText, arguments_of, input_of
from server.chat.request import ChatDelta, InputFormat, ToolCallDelta

CODE = {"type": "custom", "custom": {"name": "run", "description": "Runs Python."}}
TEXT = 'print("hi")\n# \U0001f600 \\ é'
ARGUMENTS = json.dumps({"input": TEXT})


def script(*pieces):
    return (
        ChatDelta(tool_call=ToolCallDelta(0, "call_a", "run")),
        *(ChatDelta(tool_call=ToolCallDelta(0, arguments=piece)) for piece in pieces),
        ChatDelta(finish_reason="tool_calls", usage=USAGE),
    )


def format_of(syntax, definition):
    grammar = {"syntax": syntax, "definition": definition}
    return {"type": "custom", "custom": {"name": "run", "format": {"type": "grammar", "grammar": grammar}}}


async def test_a_custom_tools_call_comes_as_its_text(chat, openai):
    chat.script = script(ARGUMENTS)
    messages = [{"role": "user", "content": "say hi"}]
    answer = await openai.chat.completions.create(model="tiny", messages=messages, tools=[CODE])
    call = answer.choices[0].message.tool_calls[0]
    assert (call.type, call.custom.name, call.custom.input) == ("custom", "run", TEXT)
    function = chat.requests[0].tools[0]["function"]
    assert (function["name"], function["description"]) == ("run", "Runs Python.")
    assert list(function["parameters"]["properties"]) == ["input"]


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_streamed_pieces_add_up_to_the_text(chat, openai, size):
    chat.script = script(*(ARGUMENTS[i : i + size] for i in range(0, len(ARGUMENTS), size)))
    stream = await openai.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "say hi"}], tools=[CODE], stream=True
    )
    deltas = [chunk.choices[0].delta async for chunk in stream]
    calls = [delta.tool_calls[0].model_dump(exclude_none=True) for delta in deltas if delta.tool_calls]
    assert calls[0] == {"index": 0, "id": "call_a", "type": "custom", "custom": {"name": "run", "input": ""}}
    assert "".join(call["custom"]["input"] for call in calls) == TEXT


@given(st.text(), st.data(), st.booleans())
def test_an_input_is_the_text_however_its_arguments_are_cut(text, data, is_ascii):
    arguments = json.dumps({"input": text}, ensure_ascii=is_ascii)
    reader, told, at = InputText(), "", 0
    while at < len(arguments):
        size = data.draw(st.integers(1, 7))
        told += reader.feed(arguments[at : at + size])
        at += size
    assert told == text
    assert input_of(arguments_of(text)) == text


def test_what_a_limit_cut_gives_what_there_is():
    assert input_of('{"input": "ab\\') == "ab"
    assert input_of('{"inp') == ""


def test_half_a_pair_is_told_as_a_character_that_is_none():
    assert input_of(r'{"input": "a\ud83d b"}') == "a\ufffd b"
    assert input_of(r'{"input": "a\ud83d\n\udc00"}') == "a\ufffd\n\ufffd"


async def test_a_past_call_and_its_result_are_shown_as_a_functions(chat, ask):
    call = {"id": "call_a", "type": "custom", "custom": {"name": "run", "input": TEXT}}
    history = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_a", "content": "done"},
    ]
    assert (await ask(messages=history, tools=[CODE])).status_code == 200
    function = chat.requests[0].messages[1]["tool_calls"][0]["function"]
    assert function["name"] == "run"
    assert json.loads(function["arguments"]) == {"input": TEXT}


async def test_the_format_goes_to_the_service_and_not_into_the_prompt(chat, ask):
    assert (await ask(tools=[format_of("regex", "[a-z]+")])).status_code == 200
    request = chat.requests[0]
    place = "tools[0].custom.format.grammar.definition"
    assert request.input_formats == {"run": InputFormat("regex", "[a-z]+", place)}
    assert "[a-z]+" not in json.dumps(request.tools)


@pytest.mark.parametrize("choice", [{"type": "custom", "custom": {"name": "run"}}, "required"])
async def test_a_custom_tool_is_chosen_as_a_function_is(chat, ask, choice):
    assert (await ask(tools=[CODE], tool_choice=choice)).status_code == 200
    named = {"type": "function", "function": {"name": "run"}}
    assert chat.requests[0].tool_choice == ("required" if choice == "required" else named)


@pytest.mark.parametrize(
    ("custom", "param"),
    [
        ({}, "tools[0].custom.name"),
        ({"name": "run", "parameters": {}}, "tools[0].custom.parameters"),
        ({"name": "run", "format": "lark"}, "tools[0].custom.format"),
        ({"name": "run", "format": {"type": "json"}}, "tools[0].custom.format.type"),
        ({"name": "run", "format": {"type": "text", "x": 1}}, "tools[0].custom.format.x"),
        ({"name": "run", "format": {"type": "grammar"}}, "tools[0].custom.format.syntax"),
        (format_of("bnf", "a")["custom"], "tools[0].custom.format.grammar.syntax"),
        (format_of("lark", 3)["custom"], "tools[0].custom.format.grammar.definition"),
    ],
)
async def test_a_wrong_custom_tool_is_refused_by_its_place(ask, custom, param):
    response = await ask(tools=[{"type": "custom", "custom": custom}])
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
