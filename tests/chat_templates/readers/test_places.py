"""Where in a text its calls stand, by each form's own parser."""

from __future__ import annotations

import json

import pytest

from chat_templates import get_family
from chat_templates.readers.places import find_places

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"a": {}, "b": {}}}}}
    for name in ("get", "get.all", "name", "arguments")
]
ARGUMENTS = {"a": 'x, "y": {1}', "b": [1, {"c": "]"}]}
JSON = json.dumps(ARGUMENTS)


def places_of(family_id, text, **settings):
    family = get_family(family_id)
    return find_places(text, family.parser(TOOLS), lambda name: family.output.call.around(name)[1], **settings)


@pytest.mark.parametrize("name", ["get", "get.all", "name", "arguments"])
@pytest.mark.parametrize(
    ("family_id", "text"),
    [
        ("qwen2.5", '<tool_call>\n{"name": "NAME", "arguments": BODY}\n</tool_call>'),
        ("qwen2.5", '```json\n{"name": "NAME", "arguments": BODY}\n```'),
        ("generic", '{"name": "NAME", "arguments": BODY}'),
        ("xlam-2-qwen", '[{"name": "NAME", "arguments": BODY}]'),
        ("functionary-v3.1", "<function=NAME>BODY</function>"),
        ("functionary-v3.2", "NAME\nBODY"),
        ("mistral-small-3.2", "[TOOL_CALLS]NAME[CALL_ID]abcdefghi[ARGS]BODY"),
        ("gpt-oss", "<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>BODY"),
        ("watt-tool", "[NAME(a='x, \"y\": {1}', b=[1, {'c': ']'}])]"),
    ],
)
def test_a_call_stands_where_its_form_has_it(family_id, text, name):
    text = text.replace("NAME", name).replace("BODY", JSON)
    (call,) = places_of(family_id, text).calls
    assert (call.name, text[slice(*call.name_at)]) == (name, name)
    assert {argument.name: argument.parsed for argument in call.arguments} == ARGUMENTS
    first, second = (text[slice(*argument.value)] for argument in call.arguments)
    assert (first[1:-1].replace("\\", ""), second[:3]) == ('x, "y": {1}', "[1,")
    spans = [call.opening, call.name_at, *(s for a in call.arguments for s in (a.key, a.value)), call.closing]
    assert spans == sorted(spans)
    assert call.closing[1] <= call.end <= len(text)


BOTH = {"a": "x, {1}\n(2)", "b": [1, {"c": "]"}]}


TAGS = "<parameter=a>\nx, {1}\n(2)\n</parameter>\n<parameter=b>\nBODY\n</parameter>\n"
ATTRIBUTES = '<param name="a"><![CDATA[x, {1}\n(2)]]></param><param name="b">BODY</param>'


@pytest.mark.parametrize(
    ("family_id", "text"),
    [
        ("qwen3-coder", f"<tool_call>\n<function=get>\n{TAGS}</function>\n</tool_call>"),
        ("minicpm5", f'<function name="get">{ATTRIBUTES}</function>'),
    ],
)
def test_arguments_in_tags_are_told_one_by_one(family_id, text):
    text = "See.\n" + text.replace("BODY", json.dumps(BOTH["b"]))
    (call,) = places_of(family_id, text).calls
    assert text[slice(*call.name_at)] == "get"
    assert {argument.name: argument.parsed for argument in call.arguments} == BOTH
    assert [text[slice(*argument.value)] for argument in call.arguments] == [BOTH["a"], json.dumps(BOTH["b"])]
    spans = [call.opening, call.name_at, *(s for a in call.arguments for s in (a.key, a.value)), call.closing]
    assert spans == sorted(spans)
    assert call.closing[1] <= call.end <= len(text)


def test_text_before_and_between_calls_is_no_part_of_them():
    call = '<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>'
    text = f"See.\n{call}\n{call}"
    first, second = places_of("qwen2.5", text).calls
    assert (first.follows_text, second.follows_text) == (True, False)
    assert text[slice(*first.opening)] == '\n<tool_call>\n{"name": "'
    assert text[first.end : second.opening[1]] == '\n<tool_call>\n{"name": "'
    assert places_of("qwen2.5", text).said_at <= 4
    assert places_of("qwen2.5", "").said_at is None


def test_a_call_that_is_cut_has_what_was_whole_of_it():
    (call,) = places_of("qwen2.5", '<tool_call>\n{"name": "get", "arguments": {"a": 1, "b": "x').calls
    assert [(argument.name, argument.parsed) for argument in call.arguments] == [("a", 1)]
    assert (call.closing, call.end) == (None, None)


def test_of_a_call_that_has_just_begun_the_name_is_known():
    (call,) = places_of("qwen2.5", '<tool_call>\n{"name": "get", "arguments": {', is_whole=False).calls
    assert (call.name, call.arguments, call.end) == ("get", (), None)
    assert places_of("qwen2.5", '<tool_call>\n{"name": "ge', is_whole=False).calls == ()


def test_arguments_that_are_no_object_are_one_value():
    tools = [*TOOLS, {"type": "code_interpreter"}]
    family = get_family("functionary-v3.1")
    text = "<|python_tag|>print({1: 2})"
    (call,) = find_places(text, family.parser(tools), lambda name: family.output.call.around(name)[1]).calls
    assert (call.name, [(argument.name, argument.parsed) for argument in call.arguments]) == (
        "python",
        [(None, "print({1: 2})")],
    )
