"""In place of a repeat: the call of the same tool whose values the user named and no answered call had."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat.loop.another import beginning_with_none, is_asked_for, varied

ASKED = "Set the bedroom to 18 degrees and the kitchen to 21 degrees."
ANSWERED = [{"room": "bedroom", "celsius": 18}]
FUNCTION = {
    "name": "set_temperature",
    "parameters": {
        "type": "object",
        "properties": {"room": {"type": "string"}, "celsius": {"type": "number"}},
        "required": ["room", "celsius"],
    },
}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"room": "kitchen", "celsius": 21}, True),
        ({"room": "Kitchen", "celsius": 18}, True),
        ({"room": "kitchen", "celsius": 23}, False),  # the user said no 23
        ({"room": "bathroom", "celsius": 21}, False),  # nor a bathroom
        ({"room": "bedroom", "celsius": 18}, False),  # answered
        ({"room": "BEDROOM", "celsius": 18}, False),
        ({"room": "the bedroom", "celsius": 18}, False),  # the answered one in other words
        ({"room": 18, "celsius": "bedroom"}, False),  # nothing is new
        ({}, False),
        ("kitchen", True),
        (None, False),
    ],
)
def test_a_call_is_asked_for_if_its_values_are_the_users_words_and_one_is_new(arguments, expected):
    assert is_asked_for(arguments, ANSWERED, ASKED) is expected


def test_the_first_argument_that_the_user_named_is_varied():
    room = varied(FUNCTION, ANSWERED, ASKED)["parameters"]["properties"]["room"]
    assert re.fullmatch(room["pattern"], "kitchen")
    assert not re.fullmatch(room["pattern"], "bedroom")
    assert FUNCTION["parameters"]["properties"]["room"] == {"type": "string"}


@pytest.mark.parametrize(
    ("asked", "value", "allowed", "forbidden"),
    [
        ("What do p-100 and p-200 cost?", "p-100", ["p-200"], ["p-100", "p-101"]),
        ("Run tests/api and tests/engine.", "tests/api", ["tests/engine"], ["tests/api", "tests/a"]),
        ("Compare Turin and Oslo.", "Turin", ["Oslo"], ["Turin, Italy", "Tokyo"]),
        ("Compare Turin and Turku.", "Turin", ["Turku"], ["Turin", "Turing"]),
    ],
)
def test_a_value_is_forbidden_from_where_it_differs_from_what_else_the_user_named(asked, value, allowed, forbidden):
    function = {"name": "f", "parameters": {"properties": {"what": {"type": "string"}}}}
    pattern = varied(function, [{"what": value}], asked)["parameters"]["properties"]["what"]["pattern"]
    assert all(re.fullmatch(pattern, text) for text in allowed)
    assert not any(re.fullmatch(pattern, text) for text in forbidden)


def test_an_enum_loses_what_was_answered():
    function = {"name": "f", "parameters": {"properties": {"day": {"type": "string", "enum": ["Monday", "Friday"]}}}}
    both = [{"day": "Monday"}, {"day": "Friday"}]
    assert varied(function, both[:1], "Monday or Friday?")["parameters"]["properties"]["day"]["enum"] == ["Friday"]
    assert varied(function, both, "Monday or Friday?") is None


@pytest.mark.parametrize(
    ("function", "answered"),
    [
        (FUNCTION, [{"room": "attic", "celsius": 18}]),
        (FUNCTION, []),
        ({"name": "f"}, [{"minutes": 18}]),
        ({"name": "f", "parameters": {"properties": {"minutes": {"type": "number"}}}}, [{"minutes": 18}]),
        (
            {"name": "f", "parameters": {"properties": {"room": {"type": "string", "pattern": "^b"}}}},
            [{"room": "bedroom"}],
        ),
    ],
    ids=["a value of the model's own", "no call", "no parameters", "a number", "a pattern of its own"],
)
def test_where_no_argument_can_be_varied_there_is_no_other_call(function, answered):
    assert varied(function, answered, ASKED) is None


@given(st.lists(st.text("ab-]^\\.", min_size=1, max_size=4), min_size=1, max_size=4), st.text("ab-]^\\.", max_size=6))
def test_the_expression_is_of_what_begins_with_none_of_them(values, text):
    found = re.fullmatch(beginning_with_none(values), text) is not None
    assert found is not any(text.startswith(value) for value in values)
