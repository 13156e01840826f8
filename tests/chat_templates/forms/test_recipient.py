"""Functionary's recipients: text and calls told apart, nothing split inside a string, at any cut."""

import itertools
import json
import time

import pytest
from byte_vocabulary import ByteVocabulary
from golden_cases import tools_named
from hypothesis import given
from hypothesis import strategies as st

from chat_templates import ParsedMessage, ToolCall, fold, get_family, merge, parse_output
from server.engine.sampling.constraint import GrammarCompiler

TOOLS = tools_named("get_weather", "now")
CODE = [*TOOLS, {"type": "code_interpreter"}]
SEPARATOR = "\n<|from|>assistant\n<|recipient|>"
IN_RECIPIENT = pytest.mark.parametrize("family_id", ["functionary-v3.2", "functionary-v2"])
FAMILIES = pytest.mark.parametrize("family_id", ["functionary-v3.2", "functionary-v2.5", "functionary-v2"])


def part(family_id, name, body):
    """One part of an answer as the family's model writes it, its marker included."""
    match family_id:
        case "functionary-v3.2":
            return f">>>{name}\n{body}"
        case "functionary-v2":
            return f"{SEPARATOR}{name}\n<|content|>{body}"
        case _:
            return body if name == "all" else f"<|reserved_special_token_249|>{name}\n{body}"


def answer(family_id, *parts):
    """The text after a prompt, which ends with the marker of the first part."""
    text = "".join(part(family_id, *each) for each in parts)
    return text.removeprefix(">>>").removeprefix(SEPARATOR)


def read(family_id, text, tools=TOOLS, *, cut=False):
    parser = get_family(family_id).parser(tools)
    return fold([*parser.feed(text), *parser.finish(cut=cut)])


@FAMILIES
@given(
    values=st.lists(st.text(max_size=12) | st.sampled_from([">>>now\n{}", SEPARATOR, "<|eot_id|>", "}"]), max_size=3),
    cuts=st.lists(st.integers(0, 300), max_size=6),
)
def test_any_arguments_are_read_to_the_letter_at_any_cut(family_id, values, cuts):
    arguments = [json.dumps({"city": value}, ensure_ascii=False) for value in values]
    text = answer(family_id, ("all", "Let me see."), *(("get_weather", each) for each in arguments))
    whole = read(family_id, text)
    assert whole.content == "Let me see."
    assert whole.tool_calls == [ToolCall("get_weather", each) for each in arguments]
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parser = get_family(family_id).parser(TOOLS)
    told = [event for a, b in itertools.pairwise(borders) for event in parser.feed(text[a:b])]
    assert fold(merge([*told, *parser.finish()])) == whole


@IN_RECIPIENT
def test_blocks_of_text_are_joined_by_a_line_break(family_id):
    text = answer(family_id, ("all", " first \n"), ("now", "{}"), ("all", "second"))
    assert read(family_id, text) == ParsedMessage("first\nsecond", None, [ToolCall("now", "{}")])


@IN_RECIPIENT
def test_a_recipient_alone_is_all_that_a_limit_leaves_of_a_call(family_id):
    for text in (answer(family_id, ("all", "Hi"), ("now", "")).rstrip("\n"), "now", "now\n", "now\n "):
        message = read(family_id, text, cut=True)
        assert message.tool_calls == [ToolCall("now", "")]
    whole_marker = answer(family_id, ("all", "Hi"), ("now", ""))
    for n in range(len(answer(family_id, ("all", "Hi"))) + 3, len(whole_marker) - 3):
        message = read(family_id, whole_marker[:n], cut=True)
        assert (message.content or "").strip() in (
            "Hi",
            "Hi\n<|",
            "Hi\n<|f",
            "Hi\n<|fr",
            "Hi\n<|fro",
            "Hi\n<|from",
            "Hi\n<|from|",
        )


@FAMILIES
def test_a_call_that_a_limit_cut_is_partial(family_id):
    text = answer(family_id, ("get_weather", '{"city": "Pa'))
    assert read(family_id, text, cut=True).tool_calls == [ToolCall("get_weather", '{"city": "Pa')]


@FAMILIES
def test_blank_arguments_are_an_empty_object(family_id):
    text = answer(family_id, ("now", " \n"), ("now", ""))
    assert read(family_id, text).tool_calls == [ToolCall("now", "{}")] * 2


@FAMILIES
def test_arguments_that_are_not_json_end_at_the_next_recipient(family_id):
    text = answer(family_id, ("get_weather", '{"city": Paris} '), ("now", "{}"))
    assert read(family_id, text).tool_calls == [ToolCall("get_weather", '{"city": Paris}'), ToolCall("now", "{}")]


@FAMILIES
def test_code_is_raw_and_ends_at_the_next_recipient(family_id):
    code = 'x = {"a": 1}\nprint(">>>")\n>>> 1 + 1\nif x < 2: pass'
    text = answer(family_id, ("all", "Running."), ("python", code + "\n"), ("now", "{}"))
    stop = get_family(family_id).output.stop[0]
    assert read(family_id, text + stop, CODE) == ParsedMessage(
        "Running.", None, [ToolCall("python", code), ToolCall("now", "{}")]
    )


def test_code_may_begin_with_a_brace():
    assert read("functionary-v3.2", 'python\n{"a": 1}["a"]', CODE).tool_calls == [ToolCall("python", '{"a": 1}["a"]')]


@pytest.mark.parametrize("text", [">>> 1+1\n2", ">>>launch\n{}", ">>>now", ">>> now\n{}", "a >> b >>> c", ">>>>\n"])
def test_what_follows_no_recipient_of_this_request_is_text(text):
    assert read("functionary-v3.2", f"all\nType:\n{text}") == ParsedMessage(
        f"Type:\n{text}".rstrip("\n") + text[len(text.rstrip("\n")) :]
    )


@IN_RECIPIENT
@pytest.mark.parametrize(
    "text", ["Hello", "Hello.\nnow", "```json\n[]\n```", "<b>", ">", "now or never", "nowhere\n{}"]
)
def test_an_answer_without_a_recipient_is_text(family_id, text):
    assert read(family_id, text) == ParsedMessage(text)


def test_a_marker_that_the_prompt_had_already_is_read_again():
    assert read("functionary-v3.2", ">>>now\n{}").tool_calls == [ToolCall("now", "{}")]
    assert read("functionary-v2", "<|recipient|>now\n<|content|>{}").tool_calls == [ToolCall("now", "{}")]


@pytest.mark.parametrize("family_id", ["functionary-v2.5", "functionary-v2"])
def test_a_tool_that_was_not_offered_is_called_between_tokens(family_id):
    text = answer(family_id, ("launch", '{"a": 1}'))
    assert read(family_id, text).tool_calls == [ToolCall("launch", '{"a": 1}')]


def test_spaces_that_sentencepiece_writes_after_tokens_do_not_count():
    text = " all\n<|content|> Hi.\n<|from|> assistant\n<|recipient|> now\n<|content|> {}<|stop|>"
    assert read("functionary-v2", text) == ParsedMessage("Hi.\n".rstrip(), None, [ToolCall("now", "{}")])


@IN_RECIPIENT
def test_without_tools_the_recipient_of_text_is_still_not_text(family_id):
    assert read(family_id, answer(family_id, ("all", "now\n{}")), []) == ParsedMessage("now\n{}")


@pytest.mark.parametrize(
    "unit", [">", ">>>", ">>>now", ">>>no", "<|from|>", "<|from|> ", "<|from|>assistant", "\n", "now\n"]
)
@pytest.mark.parametrize("start", ["all\n", "now\nx"])
def test_hostile_repetition_of_markers_costs_linear_time(unit, start):
    def seconds(n, family_id):
        started = time.perf_counter()
        parse_output(family_id, start + unit * n, TOOLS)
        return time.perf_counter() - started

    for family_id in ("functionary-v3.2", "functionary-v2"):
        seconds(100, family_id)
        small, large = (min(seconds(n, family_id) for _ in range(2)) for n in (500, 4_000))
        assert large < 8 * 4 * small + 0.05


@pytest.mark.parametrize("family_id", ["functionary-v2.5", "functionary-v2"])
def test_markers_that_are_tokens_are_forced_as_tokens(family_id):
    family = get_family(family_id)
    vocabulary = ByteVocabulary(family.output.markers)
    compiler = GrammarCompiler(vocabulary)
    tools = tools_named("now")
    for choice, prefix in (("required", ""), ("auto", family.output.call.text_start + "Hello"), ("auto", "")):
        constraint = compiler.compile(family.grammar(tools, choice, special_tokens=family.output.markers))
        lead = answer(family_id, ("now", "{}"), ("now", "{}")) if not prefix else part(family_id, "now", "{}")
        tokens = vocabulary.tokenize((prefix + lead).encode(), parse_special=True)
        assert max(tokens) > 255
        for token in tokens:
            assert constraint.allows(token), (choice, prefix, token)
            constraint.accept(token)
        assert constraint.is_accepting


@FAMILIES
def test_text_may_lead_into_calls_and_only_into_calls(family_id):
    family = get_family(family_id)
    vocabulary = ByteVocabulary()
    compiler = GrammarCompiler(vocabulary)
    grammar = family.grammar(tools_named("now"), "auto", special_tokens=())
    text = answer(family_id, ("all", "A >>> b."), ("now", "{}"))
    constraint = compiler.compile(grammar)
    tokens = list(text.encode())
    assert constraint.n_valid(tokens) == len(tokens)
    assert constraint.n_valid([*tokens, *b" And"]) == len(tokens)
    once = compiler.compile(family.grammar(tools_named("now"), "auto", parallel_tool_calls=False, special_tokens=()))
    more = [*tokens, *part(family_id, "now", "{}").encode()]
    assert constraint.n_valid(more) == len(more)
    assert once.n_valid(more) < len(more)


def test_a_model_may_write_the_spaces_that_sentencepiece_wrote_in_its_training_text():
    family = get_family("functionary-v2")
    vocabulary = ByteVocabulary(family.output.markers)
    compiler = GrammarCompiler(vocabulary)
    call = " now\n<|content|> {}"
    more = "\n<|from|> assistant\n<|recipient|>" + call
    for choice, text in (("required", call + more), ("auto", " all\n<|content|> Hello" + more), ("auto", call)):
        grammar = family.grammar(tools_named("now"), choice, special_tokens=family.output.markers)
        tokens = vocabulary.tokenize(text.encode(), parse_special=True)
        assert compiler.compile(grammar).n_valid(tokens) == len(tokens)
        assert parse_output("functionary-v2", text, TOOLS).tool_calls[0] == ToolCall("now", "{}")


@FAMILIES
@pytest.mark.parametrize("tools", [CODE, CODE[2:]], ids=["beside functions", "alone"])
def test_code_is_constrained_to_its_recipient_and_nothing_else(family_id, tools):
    family = get_family(family_id)
    compiler = GrammarCompiler(ByteVocabulary())
    named = {"type": "function", "function": {"name": "python"}}
    call = answer(family_id, ("python", "print({1: 2})\n"))
    for choice, text in (
        ("auto", answer(family_id, ("all", "Running."), ("python", "x = {"))),
        ("auto", call),
        ("required", call),
        (named, call),
    ):
        constraint = compiler.compile(family.grammar(tools, choice, special_tokens=()))
        assert constraint.n_valid(list(text.encode())) == len(text), (choice, text)
        assert [each.name for each in read(family_id, text, tools).tool_calls] == ["python"]
    assert compiler.compile(family.grammar(tools, named, special_tokens=())).n_valid(list(b"now\n")) < 4
