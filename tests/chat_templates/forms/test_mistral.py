"""Mistral's calls in all their spellings, ids of nine characters, and turns that alternate."""

import json
import re

import pytest
from byte_vocabulary import ByteVocabulary
from golden_cases import tools_named
from hypothesis import given
from hypothesis import strategies as st

from chat_templates import ParsedMessage, TemplateRequestError, ToolCall, fold, get_family, parse_output
from server.engine.sampling.constraint import GrammarCompiler

TOOLS = tools_named("get_weather", "now")
FAMILIES = pytest.mark.parametrize("family_id", ["mistral-nemo", "mistral-small-3.2"])
PARIS = '{"city": "Paris [ARGS] [TOOL_CALLS]"}'
SPELLINGS = {
    "array": f'[TOOL_CALLS][{{"name": "get_weather", "arguments": {PARIS}, "id": "abc123XYZ"}}]',
    "array after a space": f'[TOOL_CALLS] [{{"name": "get_weather", "arguments": {PARIS}}}]',
    "arguments first": f'[TOOL_CALLS][{{"arguments": {PARIS}, "name": "get_weather"}}]',
    "object": f'[TOOL_CALLS]{{"name": "get_weather", "arguments": {PARIS}}}',
    "name and JSON": f"[TOOL_CALLS]get_weather{PARIS}",
    "name and JSON, spaced": f"[TOOL_CALLS] get_weather {PARIS}",
    "name and arguments": f"[TOOL_CALLS]get_weather[ARGS]{PARIS}",
    "name, id, arguments": f"[TOOL_CALLS]get_weather[CALL_ID]abc123XYZ[ARGS]{PARIS}",
    "name, id, JSON": f"[TOOL_CALLS]get_weather[CALL_ID]abc123XYZ{PARIS}",
}


def read(family_id, text, *, cut=False):
    parser = get_family(family_id).parser(TOOLS)
    return fold([*parser.feed(text), *parser.finish(cut=cut)])


@FAMILIES
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_the_same_call_alone_after_text_and_repeated(family_id, spelling):
    text = SPELLINGS[spelling]
    call = ToolCall("get_weather", PARIS, "abc123XYZ" if "[CALL_ID]" in text else None)
    assert read(family_id, text + "</s>") == ParsedMessage(None, None, [call])
    assert read(family_id, "I look." + text + text) == ParsedMessage("I look.", None, [call, call])


@FAMILIES
@pytest.mark.parametrize(
    "text", ["I cannot.", "launch{}", '[{"name": "launch", "arguments": {}}]', "[ARGS]{}", "now[CALL_ID", "[1, 2]", ""]
)
def test_text_after_the_marker_that_is_no_call_is_content(family_id, text):
    assert read(family_id, f"[TOOL_CALLS]{text}") == ParsedMessage(text or None)


@FAMILIES
def test_text_around_an_array_is_content(family_id):
    text = '[TOOL_CALLS] Sure:\n[{"name": "now", "arguments": {}}] done'
    message = read(family_id, text)
    assert message.tool_calls == [ToolCall("now", "{}")]
    assert message.content.split() == ["Sure:", "done"]


@FAMILIES
def test_malformed_and_missing_arguments_are_passed_on_as_they_are(family_id):
    text = '[TOOL_CALLS]get_weather[ARGS]{"city": Paris} [TOOL_CALLS]now[ARGS]</s>'
    assert read(family_id, text).tool_calls == [ToolCall("get_weather", '{"city": Paris}'), ToolCall("now", "{}")]


@FAMILIES
def test_what_a_limit_leaves_of_a_call(family_id):
    text = "Hi[TOOL_CALLS]get_weather[CALL_ID]abc123XYZ[ARGS]" + PARIS
    for n in range(3, len(text)):
        message = read(family_id, text[:n], cut=True)
        begun = text[:n].removeprefix("Hi")
        assert message.content in ("Hi", "Hi" + begun if len(begun) < len("[TOOL_CALLS]") else "Hi")
        if "[ARGS]" in begun:
            assert message.tool_calls == [ToolCall("get_weather", begun.partition("[ARGS]")[2], "abc123XYZ")]
        elif "get_weather" in begun:
            assert [call.name for call in message.tool_calls] == ["get_weather"]
        else:
            assert message.tool_calls == []


@FAMILIES
@given(city=st.text(max_size=20))
def test_any_string_survives_rendering_and_reading(family_id, city):
    arguments = json.dumps({"city": city}, ensure_ascii=False)
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    family = get_family(family_id)
    question = [{"role": "user", "content": "?"}]
    before = family.render(question, TOOLS)
    whole = family.render([*question, {"role": "assistant", "tool_calls": [call, call]}], TOOLS)
    assert whole.startswith(before)
    calls = parse_output(family_id, whole.removeprefix(before), TOOLS).tool_calls
    assert [(each.name, each.arguments) for each in calls] == [("get_weather", arguments)] * 2


def conversation(*ids):
    calls = [{"id": each, "type": "function", "function": {"name": "now", "arguments": "{}"}} for each in ids]
    results = [{"role": "tool", "tool_call_id": each, "content": f"<{each}>"} for each in ids]
    return [{"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": calls}, *results]


@FAMILIES
@given(ids=st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5, unique=True))
def test_ids_become_nine_characters_each_its_own_in_call_and_result(family_id, ids):
    prompt = get_family(family_id).render(conversation(*ids), TOOLS)
    pattern = {
        "mistral-nemo": (r'"id": "([^"]*)"', r'"call_id": "([^"]*)"'),
        "mistral-small-3.2": (r"\[CALL_ID\]([^\[]*)\[ARGS\]", r"\[TOOL_RESULTS\]([^\[]*)\[TOOL_CONTENT\]"),
    }[family_id]
    calls, results = (re.findall(each, prompt) for each in pattern)
    assert calls[: len(ids)] == results[: len(ids)]
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", each) for each in calls[: len(ids)])
    assert len(set(calls[: len(ids)])) == len(ids)


@FAMILIES
def test_an_id_that_fits_is_kept_and_a_missing_one_goes_by_its_place(family_id):
    family = get_family(family_id)
    assert "abcDEF123" in family.render(conversation("abcDEF123"), TOOLS)
    nameless = conversation("", "")
    for message in nameless[2:]:
        del message["tool_call_id"]
    assert len(set(re.findall(r"\b[0-9a-f]{9}\b", family.render(nameless, TOOLS)))) == 2


@FAMILIES
def test_a_user_who_speaks_right_after_a_tool_is_preceded_by_an_empty_answer(family_id):
    family = get_family(family_id)
    messages = conversation("abcDEF123")
    spoken = [*messages, {"role": "user", "content": "And?"}]
    answered = [*messages, {"role": "assistant", "content": ""}, {"role": "user", "content": "And?"}]
    assert family.render(spoken) == family.render(answered)
    assert family.render(spoken).endswith("[/TOOL_RESULTS]</s>[INST]And?[/INST]")


@FAMILIES
@pytest.mark.parametrize(("roles", "at"), [(["assistant"], 0), (["system", "assistant", "user"], 1)])
def test_an_answer_to_nobody_is_refused_by_its_message(family_id, roles, at):
    messages = [{"role": role, "content": "x"} for role in roles]
    with pytest.raises(TemplateRequestError) as caught:
        get_family(family_id).render(messages)
    assert caught.value.param == f"messages[{at}].role"


@FAMILIES
def test_who_speaks_twice_in_a_row_speaks_once(family_id):
    family = get_family(family_id)
    apart = [("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e"), ("user", "")]
    joined = [("user", "a\n\nb"), ("assistant", "c\n\nd"), ("user", "e")]
    prompts = [family.render([{"role": role, "content": text} for role, text in each]) for each in (apart, joined)]
    assert prompts[0] == prompts[1]
    assert prompts[0].endswith("[INST]a\n\nb[/INST]c\n\nd</s>[INST]e[/INST]")


@FAMILIES
def test_an_answer_after_a_result_needs_no_user_between_it_and_the_words_before_the_call(family_id):
    messages = conversation("abcDEF123")
    messages = [messages[0], {"role": "assistant", "content": "I look."}, *messages[1:]]
    prompt = get_family(family_id).render([*messages, {"role": "assistant", "content": "Done."}])
    assert "I look.</s>[TOOL_CALLS]" in prompt
    assert prompt.endswith("[/TOOL_RESULTS]Done.</s>")


LATE_SYSTEM = [{"role": role, "content": role} for role in ("system", "user", "assistant", "system", "user")]


def test_a_later_system_message_has_a_place_in_small_and_is_the_users_in_nemo():
    prompt = get_family("mistral-small-3.2").prompt(LATE_SYSTEM)
    assert "</s>[SYSTEM_PROMPT]system[/SYSTEM_PROMPT][INST]user[/INST]" in prompt.text
    assert prompt.moved == ()
    prompt = get_family("mistral-nemo").prompt(LATE_SYSTEM)
    assert prompt.text.endswith("assistant</s>[INST]system\n\nsystem\n\nuser[/INST]")
    assert prompt.moved == (3,)


@FAMILIES
def test_a_system_message_behind_a_result_or_at_the_end_loses_nothing(family_id):
    reminded = [*conversation("abcDEF123"), {"role": "system", "content": "Hurry."}]
    for messages in (reminded, [*reminded, {"role": "user", "content": "And?"}], [LATE_SYSTEM[1], reminded[-1]]):
        prompt = get_family(family_id).prompt(messages)
        said = [message["content"] for message in messages if message.get("content")]
        assert [text for text in said if text not in prompt.text] == []


def test_a_key_named_return_of_a_tool_is_not_printed():
    tool = {"name": "f", "description": 'say "x"', "return": {"type": "string"}, "parameters": {}}
    prompt = get_family("mistral-nemo").render(
        [{"role": "user", "content": "?"}], [{"type": "function", "function": tool}]
    )
    assert '{"name": "f", "description": "say "x"", "parameters": {}}' in prompt


@FAMILIES
def test_bracketed_tokens_are_forced_as_tokens_and_may_be_spelled(family_id):
    family = get_family(family_id)
    vocabulary = ByteVocabulary(family.output.markers)
    compiler = GrammarCompiler(vocabulary)
    text = {
        "mistral-nemo": '[TOOL_CALLS][{"name": "now", "arguments": {}, "id": "a1B2c3D4e"}]',
        "mistral-small-3.2": "[TOOL_CALLS]now[CALL_ID]a1B2c3D4e[ARGS]{}",
    }[family_id]
    as_tokens = vocabulary.tokenize(text.encode(), parse_special=True)
    tools = tools_named("now")
    required = compiler.compile(family.grammar(tools, "required", special_tokens=family.output.markers))
    assert required.n_valid(as_tokens) == len(as_tokens)
    assert required.forced()[0] == vocabulary.special["[TOOL_CALLS]"]
    auto = compiler.compile(family.grammar(tools, "auto", special_tokens=family.output.markers))
    assert auto.n_valid([*b"Hello ", *as_tokens]) == 6 + len(as_tokens)
    marker = len("[TOOL_CALLS]")
    rest = vocabulary.tokenize(text[marker:].encode(), parse_special=True)
    assert auto.n_valid([*text[:marker].encode(), *rest]) == marker + len(rest)
    wrong_id = list(text.replace("a1B2c3D4e", "a1B2c3D4").encode())
    spelled = compiler.compile(family.grammar(tools, "required", special_tokens=()))
    assert spelled.n_valid(list(text.encode())) == len(text)
    assert spelled.n_valid(wrong_id) < len(wrong_id)
