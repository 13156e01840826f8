"""Llama 3's own forms of calls: objects with `parameters`, built-in calls and code after the tag."""

import json

import pytest
from golden_cases import tools_named

from chat_templates import TemplateRequestError, get_family, parse_output

TOOLS = [*tools_named("brave_search", "get_weather", "python")]
CALL = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}


def calls_of(text, tools=TOOLS):
    return [(call.name, json.loads(call.arguments)) for call in parse_output("llama-3.1", text, tools).tool_calls]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('<|python_tag|>brave_search.call(query="who won")', {"query": "who won"}),
        ('<|python_tag|>brave_search.call(query="who won")<|eom_id|>', {"query": "who won"}),
        ('<|python_tag|>brave_search.call(query="say "hi", ok", n="2")', {"query": 'say "hi", ok', "n": "2"}),
        ("<|python_tag|>brave_search.call()", {}),
        ('<|python_tag|>brave_search.call(query="f(x)")', {"query": "f(x)"}),
    ],
)
def test_a_built_in_call_is_a_call_with_its_keywords_as_strings(text, arguments):
    assert calls_of(text) == [("brave_search", arguments)]


def test_code_after_the_tag_is_a_call_of_python_with_the_code_as_a_string():
    assert calls_of('<|python_tag|>print("a\\n")\nx = {1: 2}\n<|eom_id|>') == [
        ("python", {"code": 'print("a\\n")\nx = {1: 2}'})
    ]


def test_code_that_a_limit_cuts_stays_a_partial_call_with_nothing_invented():
    parser = get_family("llama-3.1").parser(TOOLS)
    events = [*parser.feed('<|python_tag|>print("hel'), *parser.finish(cut=True)]
    assert "".join(event.text for event in events if hasattr(event, "text")) == '{"code": "print(\\"hel'


def test_what_follows_the_tag_is_content_when_python_is_not_offered():
    message = parse_output("llama-3.1", "<|python_tag|>print(1)", tools_named("get_weather"))
    assert message.tool_calls == []
    assert message.content == "<|python_tag|>print(1)"


def test_a_built_in_call_of_an_unknown_tool_is_code_or_content():
    text = '<|python_tag|>other.call(query="x")'
    assert calls_of(text) == [("python", {"code": 'other.call(query="x")'})]
    assert parse_output("llama-3.1", text, tools_named("f")).content == text


def test_a_code_interpreter_lets_the_model_run_code_and_ends_calls_with_eom():
    tools = [*tools_named("get_weather"), {"type": "code_interpreter"}]
    history = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
    prompt = get_family("llama-3.1").render(history, tools)
    assert "Environment: ipython\nTools: \n\n" in prompt
    assert '{"name": "get_weather", "parameters": {"city": "Rome"}}<|eom_id|>' in prompt
    assert "code_interpreter" not in prompt
    assert calls_of("<|python_tag|>1+1", tools) == [("python", {"code": "1+1"})]


def test_parallel_calls_become_turns_of_one_call_each_followed_by_its_result():
    second = {"id": "b", "type": "function", "function": {"name": "python", "arguments": "{}"}}
    history = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, second]},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "user", "content": "and?"},
    ]
    header = "<|start_header_id|>{}<|end_header_id|>\n\n"
    prompt = get_family("llama-3.2").render(history, TOOLS, add_generation_prompt=False)
    assert prompt.endswith(
        header.format("assistant")
        + '{"name": "get_weather", "parameters": {"city": "Rome"}}<|eot_id|>'
        + header.format("ipython")
        + '"1"<|eot_id|>'
        + header.format("assistant")
        + '{"name": "python", "parameters": {}}<|eot_id|>'
        + header.format("ipython")
        + '"2"<|eot_id|>'
        + header.format("user")
        + "and?<|eot_id|>"
    )


def test_tools_without_a_user_message_are_refused_by_name():
    with pytest.raises(TemplateRequestError, match="first user message") as caught:
        get_family("llama-3.1").render([{"role": "system", "content": "x"}], TOOLS)
    assert caught.value.param == "messages"
