"""xLAM-2's arrays and Arch-Function's lenient objects: what is a call, what is told of it, and what stays text."""

import json

import pytest
from golden_cases import tools_named

from chat_templates import fold, get_family, parse_output

TOOLS = tools_named("f", "g")
F1 = '{"name": "f", "arguments": {"a": 1}}'


def read(family_id, text, *, cut=False, tools=TOOLS):
    parser = get_family(family_id).parser(tools)
    message = fold([*parser.feed(text), *parser.finish(cut=cut)])
    return message.content, [(call.name, call.arguments) for call in message.tool_calls]


@pytest.mark.parametrize("text", ["[]", " [ ] \n", "[]<|im_end|>", "\n[]\n<|im_end|>"])
def test_an_array_of_no_calls_that_is_the_whole_answer_says_nothing(text):
    assert read("xlam-2-qwen", text) == (None, [])


@pytest.mark.parametrize(
    "text", ["[] then", "It is [] now", "[ 1 ]", "[TOOL_CALLS] none", "<tool_call>no", '[{"a": 1}]']
)
def test_other_text_in_brackets_stays_to_the_letter(text):
    assert read("xlam-2-qwen", text) == (text, [])


@pytest.mark.parametrize(
    "text",
    [
        f"[{F1}]",
        F1,
        f"[TOOL_CALLS] [{F1}]",
        f"<tool_call>\n[{F1}]\n</tool_call>",
        f"<tool_call>{F1}</tool_call>",
        f"```json\n[{F1}]\n```",
        '[{"name": "f", "arguments": "{\\"a\\": 1}"}]',
        '[{"arguments": {"a": 1}, "name": "f"}]',
    ],
)
def test_calls_count_between_the_markers_of_other_models_too(text):
    assert read("xlam-2-llama", text) == (None, [("f", '{"a": 1}')])


def test_an_element_that_only_names_an_offered_tool_calls_it_and_an_object_does_not():
    assert read("xlam-2-qwen", f'[{F1}, {{"name": "g"}}]') == (None, [("f", '{"a": 1}'), ("g", "{}")])
    assert read("xlam-2-qwen", '{"name": "g"}') == ('{"name": "g"}', [])
    assert read("xlam-2-qwen", '[{"name": "Bob"}]') == ('[{"name": "Bob"}]', [])
    listing = '[{"name": "g", "description": "Tells the time."}]'
    assert read("xlam-2-qwen", listing) == (listing, [])


def test_python_literals_are_told_as_json_and_json_byte_for_byte():
    text = "[{'name': 'f', 'arguments': {'a': (1, True), 'b': 'it\\'s'}}]"
    assert read("xlam-2-qwen", text) == (None, [("f", '{"a": [1, true], "b": "it\'s"}')])
    spaced = '{"a":1 ,\t"b": "\\u6771\\/" , "c":-0.50e+1}'
    assert read("xlam-2-qwen", f'[{{"name": "f", "arguments": {spaced}}}]') == (None, [("f", spaced)])


@pytest.mark.parametrize("text", ["[", '[{"name": "f', '[{"name": "f", "argu', "[{'name': 'f', 'arguments': "])
def test_a_limit_before_the_arguments_leaves_no_fragment_of_a_call(text):
    assert read("xlam-2-qwen", "[" + F1 + ", " + text[1:], cut=True)[1] == [("f", '{"a": 1}')]


@pytest.mark.parametrize(
    ("inside", "arguments"),
    [
        ('{"name": "f", "arguments": {"a": "it\'s"}', {"a": "it's"}),
        ('{"name": "f", "arguments": {"a": "it\'s"', {"a": "it's"}),
        ('{"name": "f", "arguments": {"a": {"b": [1, 2', {"a": {"b": [1, 2]}}),
        ('{"name": "f", "arguments": {"a": "}] </tool_call>"', {"a": "}] </tool_call>"}),
        ("{'name': 'f', 'arguments': {'a': None, 'b': [True,", {"a": None, "b": [True]}),
    ],
)
def test_brackets_that_are_missing_before_the_end_tag_are_completed(inside, arguments):
    content, calls = read("arch-function", f"<tool_call>\n{inside}\n</tool_call>")
    assert content is None
    assert [(name, json.loads(text)) for name, text in calls] == [("f", arguments)]


def test_without_the_end_tag_or_inside_a_string_nothing_is_completed():
    unfinished = '<tool_call>\n{"name": "f", "arguments": {"a": [1'
    assert read("arch-function", unfinished) == (unfinished, [])
    assert read("arch-function", unfinished, cut=True) == (None, [("f", '{"a": [1')])
    in_string = '<tool_call>\n{"name": "f", "arguments": {"a": "x\n</tool_call>'
    assert read("arch-function", in_string) == (in_string, [])
    assert read("qwen2.5", unfinished + "\n</tool_call>")[1] == []  # only where the format is known to need it


@pytest.mark.parametrize("family_id", ["arch-function", "qwen2.5"])
def test_a_name_that_a_limit_cut_is_not_told_after_its_marker(family_id):
    for fragment in ('{"na', '{"name": "', '{\n"name":"f'):
        assert read(family_id, f"Yes. <tool_call>{fragment}", cut=True) == ("Yes. ", [])
    prose = '{"na'
    assert read(family_id, prose, cut=True) == (prose, [])


def test_text_around_calls_is_content():
    message = parse_output("xlam-2-qwen", f"Sure:\n[{F1}] ok", TOOLS)
    assert message.content == "Sure:\n ok"
