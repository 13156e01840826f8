"""Conversations of every kind, as clients send them back: what reaches the chat service and what a model is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_templates import get_family
from server.api.chat.messages import read_messages

USER = {"role": "user", "content": "Weather?"}


def call(call_id, name="get_weather", arguments="{}"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id, content):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


@given(order=st.permutations(["a", "b", "c"]), answered=st.sets(st.sampled_from("abc")))
def test_results_of_parallel_calls_come_in_any_order_and_may_be_missing(order, answered):
    calls = [call(name) for name in "abc"]
    results = [result(name, f"result {name}") for name in order if name in answered]
    messages = read_messages([USER, {"role": "assistant", "content": None, "tool_calls": calls}, *results])
    prompt = get_family("qwen2.5").render(messages)
    places = [prompt.index(f"result {name}") for name in sorted(answered)]
    assert places == sorted(places)


async def test_a_history_of_every_kind_reaches_the_chat_as_it_was(chat, ask):
    history = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {"role": "user", "content": "Weather?", "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]},
        result("b", "rain"),
        result("a", [{"type": "text", "text": "sun"}]),
        {"role": "assistant", "content": "Sun and rain.", "name": "bot"},
        {"role": "user", "content": "Thanks"},
    ]
    assert (await ask(messages=history)).status_code == 200
    assert list(chat.requests[0].messages) == history
    prompt = get_family("qwen2.5").render(chat.requests[0].messages)
    assert "<|im_start|>system\nBe brief.<|im_end|>" in prompt
    assert prompt.index("sun") < prompt.index("rain")


async def test_an_obsolete_history_is_the_prompt_of_its_present_form(chat, ask):
    obsolete = [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}},
        {"role": "assistant", "content": "and", "function_call": {"name": "g", "arguments": "{}"}},
        {"role": "function", "name": "g", "content": "second"},
        {"role": "function", "name": "f", "content": "first"},
    ]
    present = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call("x", "f", '{"a": 1}')]},
        {"role": "assistant", "content": "and", "tool_calls": [call("y", "g")]},
        {**result("y", "second"), "name": "g"},
        {**result("x", "first"), "name": "f"},
    ]
    for messages in (obsolete, obsolete, present):
        assert (await ask(messages=messages)).status_code == 200
    first, again, modern = (request.messages for request in chat.requests)
    assert first == again
    for family_id in ("qwen2.5", "functionary-v3.1", "generic"):
        family = get_family(family_id)
        assert family.render(first) == family.render(modern)


async def test_an_obsolete_call_has_one_result(ask):
    calling = {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}
    answer = {"role": "function", "name": "f", "content": "1"}
    assert (await ask(messages=[USER, calling, answer, calling, answer])).status_code == 200
    refused = (await ask(messages=[USER, calling, answer, answer])).json()["error"]
    assert refused["param"] == "messages[3].name"


@pytest.mark.parametrize("content", [None, "", "I look."])
async def test_content_beside_calls_may_be_anything(chat, ask, content):
    message = {"role": "assistant", "content": content, "tool_calls": [call("a")]}
    assert (await ask(messages=[USER, message])).status_code == 200
    assert chat.requests[0].messages[1]["content"] == content


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
async def test_null_content_is_an_empty_turn(chat, ask, role):
    assert (await ask(messages=[{"role": role, "content": None}, USER])).status_code == 200
    assert chat.requests[0].messages[0] == {"role": role, "content": ""}


async def test_a_result_of_nothing_is_a_result(chat, ask):
    obsolete = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    present = {"role": "assistant", "content": None, "tool_calls": [call("a")]}
    nothing = {"role": "function", "name": "f", "content": None}
    history = [USER, present, {**result("a", None)}, obsolete, nothing]
    assert (await ask(messages=history)).status_code == 200
    assert [message["content"] for message in chat.requests[0].messages[1:]] == [None, "", None, ""]


async def test_a_refusal_beside_null_content_stays(chat, ask):
    await ask(messages=[USER, {"role": "assistant", "content": None, "refusal": "No."}])
    assert chat.requests[0].messages[1]["content"] == "No."
