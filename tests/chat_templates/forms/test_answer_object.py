"""Answers that are one object: xLAM-1's thought and calls, Arch-Function-Chat's text, question or calls."""

import pytest
from golden_cases import tools_named

from chat_templates import ContentDelta, TemplateRequestError, fold, get_family

TOOLS = tools_named("f", "g")
CHAT = "arch-function-chat"


def read(family_id, text, *, cut=False):
    parser = get_family(family_id).parser(TOOLS)
    message = fold([*parser.feed(text), *parser.finish(cut=cut)])
    return message.content, [(call.name, call.arguments) for call in message.tool_calls]


def fenced(text, language="json"):
    return f"```{language}\n{text}\n```"


@pytest.mark.parametrize("wrap", [str, fenced, lambda text: fenced(text, "")])
@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ('{"response": "He said \\"hi\\"\\n\\u6771 \\ud83c\\udf27"}', 'He said "hi"\n東 🌧', []),
        ('{"required_functions": ["f"], "clarification": "Which?"}', "Which?", []),
        ('{"response": "r", "value": {"x": [1, "}"]}}', "r", []),
        ("{'response': 'it\\'s'}", "it's", []),
        ('{"response": {"a": [1]}}', '{"a": [1]}', []),
        ('{"response": null}', None, []),
        ('{"tool_calls": []}', None, []),
        ('{"tool_calls": [{"name": "f", "arguments": {}}]}', None, [("f", "{}")]),
        ('{"tool_calls": {"name": "f", "arguments": {}}}', None, [("f", "{}")]),
        ('{"tool_calls": [{"name": "other", "arguments": {}}]}', None, [("other", "{}")]),
        ("{'tool_calls': [{'name': 'f', 'arguments': {'a': None}}]}", None, [("f", '{"a": null}')]),
    ],
)
def test_an_answer_says_its_text_or_its_calls_fenced_or_not(wrap, text, content, calls):
    assert read(CHAT, wrap(text)) == (content, calls)


@pytest.mark.parametrize(
    "text", ['{"city": "Rome"}', '{"required_functions": ["f"]}', '{"tool_calls": [1, 2]} x', "Hi {"]
)
def test_an_object_that_says_nothing_of_the_form_is_content_to_the_letter(text):
    assert read(CHAT, text) == (text, [])
    assert read(CHAT, fenced(text)) == (fenced(text), [])


def test_brackets_that_are_missing_before_the_end_of_the_fence_are_completed():
    assert read(CHAT, '```json\n{"tool_calls": [{"name": "f", "arguments": {"a": [1, 2\n```')[1] == [
        ("f", '{"a": [1, 2\n]}')
    ]
    assert read(CHAT, '{"response": "test", "value": 123') == ("test", [])


def test_what_breaks_off_an_object_is_content():
    assert read(CHAT, '{"response": "He said "hi""} x') == ('He said hi""} x', [])


def test_a_limit_leaves_what_was_said():
    assert read(CHAT, '{"respon', cut=True) == (None, [])
    assert read(CHAT, '{"response": "abc', cut=True) == ("abc", [])
    partial = '{"tool_calls": [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"b": "x'
    assert read(CHAT, partial, cut=True) == (None, [("f", "{}"), ("g", '{"b": "x')])


def test_a_response_streams():
    parser = get_family(CHAT).parser(TOOLS)
    assert parser.feed('```json\n{"response": "') == []
    assert parser.feed("Hello ") == [ContentDelta("Hello")]
    assert parser.feed("you") == [ContentDelta(" you")]


def test_without_tools_an_object_is_content():
    parser = get_family(CHAT).parser([])
    assert fold([*parser.feed('{"response": "x"}'), *parser.finish()]).content == '{"response": "x"}'


def test_a_thought_is_content_and_an_unknown_name_is_no_call():
    text = '{"thought": "Rome.", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}'
    assert read("xlam-1-fc", text) == ("Rome.", [("f", '{"a": 1}')])
    unknown = '{"tool_calls": [{"name": "nope", "arguments": {}}]}'
    assert read("xlam-1-fc", unknown) == (unknown, [])


@pytest.mark.parametrize("message", [{"role": "assistant", "content": "x"}, {"role": "tool", "content": "x"}])
def test_xlam_1_refuses_all_but_a_single_turn_by_the_field(message):
    with pytest.raises(TemplateRequestError, match="single turns") as caught:
        get_family("xlam-1-fc").render([{"role": "user", "content": "?"}, message], TOOLS)
    assert caught.value.param == "messages[1].role"


def test_a_result_is_named_by_its_call_or_by_the_text_of_the_turn_before():
    family = get_family(CHAT)
    text = fenced('{"tool_calls": [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]}')
    results = [{"role": "tool", "tool_call_id": str(i), "content": "1"} for i in (1, 2)]
    prompt = family.render([{"role": "assistant", "content": text}, *results], TOOLS)
    assert prompt.index('{"name": "f", "result": "1"}') < prompt.index('{"name": "g", "result": "1"}')
    call = {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    prompt = family.render([{"role": "assistant", "content": None, "tool_calls": [call]}, results[1]], TOOLS)
    assert '{"name": "g", "result": "1"}' in prompt
