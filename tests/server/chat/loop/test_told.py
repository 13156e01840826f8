"""A conversation with tools, told as one without: every question has the results that followed it."""

from __future__ import annotations

import json

import pytest

from chat_templates import FAMILIES, get_family
from server.chat.loop.told import told

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "How warm is it in Oslo?"}


def call(name, call_id="c0", content=None, **arguments):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }


def result(content, call_id="c0"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


WEATHER = call("get_weather", city="Oslo")


def test_a_question_has_the_results_that_followed_it():
    assert told([SYSTEM, USER, WEATHER, result("4 °C")]) == (
        SYSTEM,
        {
            "role": "user",
            "content": "How warm is it in Oslo?\n\nResults of tools:\nget_weather for Oslo: 4 °C\n\n"
            "Answer with what these results say, in words, with every number, time and name.",
        },
    )


def test_values_that_are_no_text_are_json_and_a_call_without_any_has_none():
    moved = call("move", to={"x": 1}, fast=True)
    content = told([USER, moved, result("moved"), call("stop"), result("stopped")])[0]["content"]
    assert 'move for {"x": 1}, true: moved\nstop: stopped\n' in content


def test_results_of_earlier_questions_stay_with_them():
    answer, thanks = {"role": "assistant", "content": "4 °C."}, {"role": "user", "content": "And in Rome?"}
    first, said, second = told(
        [USER, WEATHER, result("4 °C"), answer, thanks, call("get_weather", city="Rome"), result("21 °C")]
    )
    assert "4 °C" in first["content"]
    assert said == answer
    assert second["content"].startswith("And in Rome?")
    assert "21 °C" in second["content"]
    assert "4 °C" not in second["content"]


def test_a_conversation_without_results_stays_as_it_is():
    messages = (SYSTEM, USER, {"role": "assistant", "content": "Cold."}, USER)
    assert told(messages) == messages


def test_an_error_that_was_mended_is_left_out_and_one_that_was_not_is_told():
    failed = result("Error: timed out")
    mended = told([USER, WEATHER, failed, WEATHER, result("4 °C")])[0]["content"]
    assert "timed out" not in mended
    assert "4 °C" in mended
    assert "timed out" in told([USER, WEATHER, failed])[0]["content"]


@pytest.mark.parametrize(
    ("first", "then", "is_told"),
    [
        ({"city": "Oslo"}, {"city": "Oslo, Norway"}, False),
        ({"origin": "Vienna", "destination": "Graz"}, {"origin": "Wien Hbf", "destination": "Graz"}, False),
        ({"city": "Turin"}, {"city": "Oslo"}, True),
    ],
    ids=["corrected", "partly corrected", "another city"],
)
def test_an_error_is_mended_by_a_call_about_the_same(first, then, is_told):
    calls = [call("get_weather", **first), result("Error: unknown place"), call("get_weather", **then), result("4 °C")]
    assert ("unknown place" in told([USER, *calls])[0]["content"]) is is_told


def test_a_result_that_came_twice_is_told_once():
    content = told([USER, WEATHER, result("4 °C"), WEATHER, result("4 °C")])[0]["content"]
    assert content.count("4 °C") == 1


def test_results_without_a_question_are_a_message_behind_the_systems():
    system, asked = told([SYSTEM, WEATHER, result("4 °C")])
    assert system == SYSTEM
    assert asked["role"] == "user"
    assert asked["content"].startswith("Results of tools:")


def test_parts_of_text_are_joined():
    question = {"role": "user", "content": [{"type": "text", "text": "How warm "}, {"type": "text", "text": "is it?"}]}
    content = told([question, WEATHER, result([{"type": "text", "text": "4 °C"}])])[0]["content"]
    assert content.startswith("How warm is it?")
    assert " for Oslo: 4 °C\n" in content


SINGLE_TURNS = {"minitron", "xlam-1-fc"}  # a base model, and one that takes a question alone: neither is shown results


@pytest.mark.parametrize("family_id", [family for family in FAMILIES if family not in SINGLE_TURNS])
def test_every_family_takes_what_is_told(family_id):
    messages = told([USER, WEATHER, result("4 °C"), {"role": "assistant", "content": "4 °C."}, USER, WEATHER])
    assert "Results of tools:" in get_family(family_id).render(messages)
