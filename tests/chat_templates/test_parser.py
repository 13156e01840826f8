"""Laws of the parser: any cut, nothing lost, near misses are calls, other JSON is not."""

import itertools
import json
import re
import time

import pytest
from golden_cases import tools_named
from hypothesis import example, given
from hypothesis import strategies as st

from chat_templates import (
    FAMILIES,
    ContentDelta,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallRetracted,
    ToolCallStart,
    fold,
    get_family,
    merge,
    parse_output,
)
from chat_templates.thought import Thought

TOOLS = tools_named("get_weather", "now")
ALL_FAMILIES = pytest.mark.parametrize("family_id", FAMILIES)
# Pieces of which outputs are made: markers whole and broken, JSON whole and broken, calls of known and unknown tools.
FRAGMENTS = st.sampled_from(
    [
        *"<>{}[]\"':,;\\` \n",
        *(
            "text",
            "é",
            "1",
            "true",
            "```",
            "```json\n",
            "<tool_call>",
            "</tool_call>",
            "<tool",
            "<function=",
            "</function>",
        ),
        *(">>>", ">>>now\n", ">>>all\n", "now\n", "<|reserved_special_token_249|>now\n", "<|from|>assistant\n"),
        *("<|recipient|>", "now\n<|content|>", "[TOOL_CALLS]", "[CALL_ID]", "now[ARGS]", "now{"),
        *("<function=now>", "<|python_tag|>", "<think>", "</think>", "<|im_end|>", '{"name": "now", "arguments": '),
        *(
            '{"name": "get_weather", "parameters": {"city": "Paris"}}',
            '{"name": "Bob"}',
            '{"arguments": {}, "name": "now"}',
        ),
        *('[{"name": "now", "arguments": {}}', '"{\\"a\\": 1}"', "\\u00e9", "{}", "}}", '"name"', '"arguments"'),
    ]
)
TEXTS = st.lists(FRAGMENTS, max_size=24).map("".join)


def events_of(family_id, pieces, tools=TOOLS, **finish):
    parser = get_family(family_id).parser(tools)
    told = [event for piece in pieces for event in parser.feed(piece)]
    return merge([*told, *parser.finish(**finish)])


@ALL_FAMILIES
@given(text=TEXTS, cuts=st.lists(st.integers(0, 200), max_size=8), cut=st.booleans())
@example(text='{"arguments": {}, "name": "now"}<tool_call>{"name": "now", "arguments": {}}', cuts=[32], cut=False)
def test_the_events_do_not_depend_on_how_the_text_was_cut(family_id, text, cuts, cut):
    borders = [0, *sorted(c for c in cuts if c < len(text)), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(borders)]
    assert events_of(family_id, pieces, cut=cut) == events_of(family_id, [text], cut=cut)


@ALL_FAMILIES
@given(text=st.text() | TEXTS)
def test_without_tools_all_text_is_content(family_id, text):
    output = get_family(family_id).output
    for marker in (*output.stop, *(output.reasoning or ())):
        text = text.replace(marker, "")
    if any(marker in text for marker in (*output.stop, *(output.reasoning or ()))):
        return
    message = parse_output(family_id, text, [])
    assert message.tool_calls == []
    assert (message.content or "") == (text if text.strip() else "")


@ALL_FAMILIES
@given(text=TEXTS)
def test_no_word_of_a_text_is_lost(family_id, text):
    """Every letter ends up in content, reasoning, a call's name or its arguments, in order or as call syntax.

    But for the last word, if the text ends inside the name of a call: a fragment of a name is nobody's.
    """
    message = parse_output(family_id, text, TOOLS)
    told = (message.content or "") + (message.reasoning or "")
    told += "".join(call.name + call.arguments for call in message.tool_calls)
    # A fence around calls vanishes, and with it the word that says what is in it.
    n_infos = sum(info.count("text") for info in re.findall("```((?:text)+)", text))
    n_cut = int(text.endswith("text"))
    assert text.count("text") - n_infos - n_cut <= told.count("text") <= text.count("text")


@ALL_FAMILIES
@given(text=TEXTS)
def test_a_call_starts_once_streams_and_ends_once(family_id, text):
    seen = {}
    for event in events_of(family_id, list(text)):
        match event:
            case ToolCallStart(index):
                assert index not in seen
                seen[index] = "open"
            case ToolCallArguments(index):
                assert seen[index] == "open"
            case ToolCallEnd(index):
                assert seen[index] == "open"
                seen[index] = "ended"
            case ToolCallRetracted(index):
                assert index == max(seen)
                del seen[index]  # it was no call: the next one takes its place


CALL = ToolCall("get_weather", '{"city": "Paris"}')
NEAR_MISSES = {
    "fenced": '```json\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```',
    "fenced without a language": '```\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```',
    "bare": '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    "pretty": '{\n  "name": "get_weather",\n  "arguments": {"city": "Paris"}\n}',
    "parameters": '{"name": "get_weather", "parameters": {"city": "Paris"}}',
    "typed": '{"type": "function", "name": "get_weather", "parameters": {"city": "Paris"}}',
    "arguments first": '{"arguments": {"city": "Paris"}, "name": "get_weather"}',
    "arguments as a string": '{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}',
    "array": '[{"name": "get_weather", "arguments": {"city": "Paris"}}]',
    "fenced array": '```json\n[\n  {"name": "get_weather", "arguments": {"city": "Paris"}}\n]\n```',
}


@ALL_FAMILIES
@pytest.mark.parametrize("form", NEAR_MISSES)
def test_a_near_miss_of_an_offered_tool_is_a_call_in_every_family(family_id, form):
    message = parse_output(family_id, NEAR_MISSES[form], TOOLS)
    assert message.tool_calls == [CALL]
    assert message.content is None


@ALL_FAMILIES
def test_text_around_a_near_miss_is_content(family_id):
    message = parse_output(family_id, f"I will look.\n\n{NEAR_MISSES['fenced']}\nDone.", TOOLS)
    assert message.tool_calls == [CALL]
    assert message.content == "I will look.\n\n\nDone."


@ALL_FAMILIES
def test_several_near_misses_are_several_calls(family_id):
    two = '[{"name": "now", "arguments": {}}, {"name": "get_weather", "arguments": {"city": "Paris"}}]'
    for text in (two, f"```json\n{two}\n```", two.strip("[]"), two.strip("[]").replace("}, {", "}\n{")):
        assert parse_output(family_id, text, TOOLS).tool_calls == [ToolCall("now", "{}"), CALL], text


@ALL_FAMILIES
@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Bob", "arguments": {"city": "Paris"}}',
        '{"name": "get_weather", "description": "A tool for the weather."}',
        '{"name": "get_weather"}',
        '{"name": "get_weather", "arguments": null}',
        '{"name": "get_weather", "arguments": ["Paris"]}',
        '{"city": "Paris", "name": "get_weather", "arguments": {}}',
        '{"example": {"name": "now", "arguments": {}}}',
        '[1, {"name": "now", "arguments": {}}]',
        '```json\n{"temperature": 21.5, "unit": "C"}\n```',
        '```python\nprint({"name": 1})\n```',
        "[Note] A list: [1, 2] and {braces}.",
        "if (a < b) { return [c]; } // ```",
        'A call looks like {"name": …, "arguments": …}.',
    ],
)
def test_json_that_is_no_call_of_an_offered_tool_stays_content_to_the_letter(family_id, text):
    message = parse_output(family_id, text, TOOLS)
    assert message.tool_calls == []
    assert message.content == text


@ALL_FAMILIES
def test_an_ordinary_json_answer_streams_before_it_ends(family_id):
    parser = get_family(family_id).parser(TOOLS)
    assert fold(parser.feed('{"temperature": 21, "conditions": "')).content == '{"temperature": 21, "conditions": "'


def test_arguments_stream_as_soon_as_the_call_is_known():
    parser = get_family("qwen2.5").parser(TOOLS)
    parser.feed('<tool_call>\n{"name": "get_weather", "arguments": {"ci')
    assert parser.feed("ty") == [ToolCallArguments(0, "ty")]


def test_a_lone_bracket_in_prose_comes_out_at_once():
    parser = get_family("functionary-v4r").parser(TOOLS)
    assert parser.feed("a < b") == [ContentDelta("a < b")]


def test_a_call_that_a_limit_cut_stays_a_partial_call():
    text = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Pa'
    message = fold(events_of("qwen2.5", [text], cut=True))
    assert message.tool_calls == [ToolCall("get_weather", '{"city": "Pa')]
    assert message.content is None


def test_a_wrapped_call_of_a_tool_that_was_not_offered_is_content():
    text = '<tool_call>\n{"name": "launch", "arguments": {}}\n</tool_call>'
    assert parse_output("qwen2.5", text, TOOLS).content == text


def test_unstringified_arguments_keep_escaped_characters_and_surrogate_pairs():
    arguments = json.dumps(json.dumps({"q": 'a "quote" \\ 😀 é\n'}))
    message = parse_output("qwen2.5", f'{{"name": "now", "arguments": {arguments}}}', TOOLS)
    assert json.loads(message.tool_calls[0].arguments) == {"q": 'a "quote" \\ 😀 é\n'}


@pytest.mark.parametrize(
    "unit", ["{", "[", "```", "<", '{"name": ', '[{"arguments": ', " ", "<think>", '{"arguments": {"name": "']
)
def test_hostile_repetition_costs_linear_time(unit):
    def seconds(n):
        start = time.perf_counter()
        events_of("qwen2.5", [unit * n])
        return time.perf_counter() - start

    seconds(100)
    small, large = min(seconds(2_000) for _ in range(3)), min(seconds(16_000) for _ in range(3))
    assert large < 8 * 4 * small + 0.05  # eight times the text; quadratic would be sixty-four times


@pytest.mark.parametrize("end", ["", "<|im_end|>", "\n", "\n<|im_end|>\n"])
def test_a_fence_that_ends_an_answer_of_calls_is_none_of_its_content(end):
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    message = parse_output("qwen2.5", f"{call}\n```{end}", tools_named("f"))
    assert ([c.name for c in message.tool_calls], message.content) == (["f"], None)
    message = parse_output("qwen2.5", f"I look.\n{call}\n```{end}", tools_named("f"))
    assert message.content == "I look."


@pytest.mark.parametrize("behind", ["\n```\nx = 1\n```", "\n```python\n", "\n```\n`", "\nSee:\n```"])
def test_a_fence_that_something_follows_or_precedes_is_content(behind):
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    message = parse_output("qwen2.5", call + behind, tools_named("f"))
    assert message.content is not None
    assert "```" in message.content


def test_white_space_between_a_call_and_the_first_words_is_no_content():
    text = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n\nI look.'
    assert parse_output("qwen2.5", text, tools_named("f")).content == "I look."


def test_an_answer_that_begins_in_a_thought_is_reasoning_up_to_its_end():
    text = (
        "I look.\n</think>\n\n" + '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    )
    for at in range(len(text)):
        parser = get_family("qwen3.5").parser(TOOLS, in_thought=True)
        message = fold([*parser.feed(text[:at]), *parser.feed(text[at:]), *parser.finish()])
        assert (message.reasoning, message.content, message.tool_calls) == ("I look.", None, [CALL])


def test_a_family_begins_in_a_thought_unless_it_is_asked_not_to_think():
    family = get_family("qwen3.5")
    assert family.thought({}) == Thought(is_open=True)
    assert family.thought({"enable_thinking": False}) == Thought(may_begin=False)
    assert get_family("qwen3").thought({}, max_tokens=9) == Thought(max_tokens=9)
    assert get_family("ministral-3").thought({}, thinks=False) == Thought(may_begin=False, max_tokens=0)
