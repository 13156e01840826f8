"""Requests of ours: the same on every machine, and their right answers are."""

import json
from collections import Counter

import jsonschema
import pytest

from server.calls.requests import KINDS, RightCall, requests

MANY = list(requests(700, seed=3))


def test_the_same_seed_gives_the_same_requests():
    assert MANY == list(requests(700, seed=3)) != list(requests(700, seed=4))


def test_the_kinds_come_in_turn_and_hardly_a_request_comes_twice():
    assert Counter(asked.kind for asked in MANY) == dict.fromkeys(KINDS, 100)
    texts = {(asked.messages[0]["content"], json.dumps(asked.tools)) for asked in MANY}
    assert len(texts) > 650


def test_what_is_right_fits_an_offered_tool_and_is_right():
    for asked in MANY:
        tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in asked.tools}
        assert len(tools) == len(asked.tools)
        for right in asked.right:
            jsonschema.validate(right.arguments, tools[right.name])
        assert asked.is_answered_by([(right.name, right.arguments) for right in asked.right])
        assert not asked.is_answered_by([*((r.name, r.arguments) for r in asked.right), ("no_tool", {})])


def test_no_slot_of_a_text_is_left_open():
    assert not [asked.messages[0]["content"] for asked in MANY if "{" in asked.messages[0]["content"]]


@pytest.mark.parametrize(
    ("arguments", "is_right"),
    [
        ({"city": "Rome", "days": 3}, True),
        ({"city": "rome.", "days": 3.0}, True),
        ({"city": "Rome", "days": 3, "unit": "celsius"}, True),
        ({"city": "Rome"}, False),
        ({"city": "Roma", "days": 3}, False),
        ({"city": "Rome", "days": True}, False),
        ({"city": "Rome", "days": 3, "more": 1}, False),
        (None, False),
    ],
)
def test_values_are_compared_by_what_they_mean(arguments, is_right):
    right = RightCall("weather", {"city": "Rome", "days": 3}, frozenset({"unit"}))
    assert right.is_made_by("weather", arguments) is is_right
    assert not right.is_made_by("climate", arguments)
