"""The decision report, through the real grammars and parsers of every family: an engine without a model chooses."""

from __future__ import annotations

import json
import math
import random

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from chat_templates import FAMILIES, get_family
from chat_templates.readers.places import find_places
from server.chat.answer.continuation import CallRules
from server.chat.answer.stream import fold
from server.chat.decisions.pieces import decided_pieces
from server.chat.decisions.record import Record
from server.chat.decisions.report import Choice, Decisions, decisions
from server.chat.request import ChatRequest, Thinking
from server.chat.service import ChatService
from server.engine.async_engine import AsyncEngine
from server.engine.types import Alternative, FinishReason, GenerationChunk, SamplingParams, TokenChoice

MESSAGES = ({"role": "user", "content": "hi"},)
PROPERTIES = {
    "city": {"type": "string", "pattern": "^[a-z]{1,4}$"},
    "unit": {"enum": ["celsius", "fahrenheit"]},
    "days": {"type": "integer", "minimum": 0, "maximum": 9},
}
PARAMETERS = {"type": "object", "properties": PROPERTIES, "required": ["city"], "additionalProperties": False}
NAMES = ("get_time", "get_time_zone", "send")
TOOLS = tuple(
    {"type": "function", "function": {"name": name, "description": name, "parameters": PARAMETERS}} for name in NAMES
)

# What a model writes is judged here, not what the conversation asks for.
AS_WRITTEN = CallRules(asks_for_more=False, grounded=False)


@pytest.fixture(scope="module")
def vocabulary():
    return ByteVocabulary()


async def ask(family_id, vocabulary, *, seed=0, **fields):
    """An answer, and the deltas that it is made of."""
    engine = AsyncEngine(FakeRunner(len(vocabulary.pieces), n_ctx=8192, n_batch=512), vocabulary)
    try:
        service = ChatService(engine, get_family(family_id), rules=AS_WRITTEN)
        sampling = SamplingParams(seed=seed)
        settings = {"tool_choice": "required", "max_tokens": 400, "wants_decisions": True, **fields}
        request = ChatRequest(MESSAGES, TOOLS, sampling=sampling, thinking=Thinking(is_on=False), **settings)
        return await fold(await service.open(request))
    finally:
        engine.close()


def every_choice(report):
    yield report.call
    for call in report.calls:
        yield from (call.begun, call.tool, call.left_out, call.more)
        for argument in call.arguments:
            yield from (argument.key, argument.value)


def assert_lawful(report):
    for choice in filter(None, every_choice(report)):
        assert 0.0 <= choice.p <= 1.0
        assert all(0.0 <= option.p <= 1.0 + 1e-9 for option in choice.alternatives)
        assert not choice.is_forced or (choice.p == 1.0 and choice.alternatives == ())
        if not choice.is_spelled:
            assert choice.p + sum(option.p for option in choice.alternatives) <= 1.0 + 1e-5
        elif choice.least_sure is not None:
            assert sum(option.p for option in choice.alternatives) <= 1.0 + 1e-5
    for call in report.calls:
        assert 0.0 <= call.p <= call.confidence <= 1.0
    json.dumps(report.fields(), allow_nan=False)


@pytest.mark.parametrize("family_id", sorted(set(FAMILIES) - {"minitron"}))  # which chats with nobody
async def test_every_family_tells_the_decisions_of_its_calls(family_id, vocabulary):
    answer = await ask(family_id, vocabulary)
    untold = await ask(family_id, vocabulary, wants_decisions=False)
    called = [(call.name, call.arguments) for call in answer.tool_calls]
    assert called == [(call.name, call.arguments) for call in untold.tool_calls]
    assert untold.decisions is None
    report = answer.decisions
    assert_lawful(report)
    assert report.call == Choice("call", is_forced=True)
    assert [call.name for call in report.calls] == [name for name, _ in called]
    for (_, arguments), call in zip(called, report.calls, strict=True):
        if call.more is None and call is report.calls[-1]:
            continue  # a limit cut it
        assert {argument.name: argument.value.chosen for argument in call.arguments} == json.loads(arguments)
        left = [] if call.left_out is None else call.left_out.chosen
        assert sorted([*left, *json.loads(arguments)]) == sorted(PROPERTIES)
    for call, following in zip(report.calls, report.calls[1:], strict=False):
        assert call.more.chosen == "call"
        assert following.begun == call.more
    assert answer.finish_reason == "length" or report.calls[-1].more.chosen == "end"
    assert report.calls[0].tool.p < 1.0


@pytest.mark.parametrize("family_id", ["qwen2.5", "watt-tool", "functionary-v3.2", "generic"])
async def test_an_answer_that_may_be_text_tells_how_likely_a_call_was(family_id, vocabulary):
    for seed in range(4):
        pushed = await ask(family_id, vocabulary, seed=seed, tool_choice="auto", call_bias=100.0)
        assert_lawful(pushed.decisions)
        assert pushed.decisions.call.chosen == "call"
        assert pushed.decisions.call.p > 0.99
        assert not pushed.decisions.call.is_forced
        free = await ask(family_id, vocabulary, seed=seed, tool_choice="auto", max_tokens=20)
        assert_lawful(free.decisions)
        if free.decisions.call is not None and not free.tool_calls:
            assert free.decisions.call.chosen == "text"
            assert 0.0 < free.decisions.call.p < 1.0


async def test_text_that_must_be_text_is_forced(vocabulary):
    answer = await ask("qwen2.5", vocabulary, tool_choice="none", max_tokens=20)
    assert answer.decisions == Decisions(Choice("text", is_forced=True))


async def test_a_limit_cuts_an_answer_anywhere_and_its_decisions_with_it(vocabulary):
    for max_tokens in range(1, 120, 3):
        answer = await ask("qwen2.5", vocabulary, max_tokens=max_tokens)
        assert_lawful(answer.decisions)
        assert [call.name for call in answer.decisions.calls] == [call.name for call in answer.tool_calls]
        if answer.finish_reason == "length" and answer.decisions.calls:
            assert answer.decisions.calls[-1].more is None


# --- through the parsers, on tokens of any length --------------------------------------------------------------------


def tokens_of(text, rng, *, likely=0.5, is_forced=0.2):
    """The text in random tokens, each with a random probability and random others."""
    choices, at = [], 0
    while at < len(text):
        n = rng.randint(1, 6)
        piece = text[at : at + n]
        if rng.random() < is_forced:
            choices.append(TokenChoice(at, piece.encode(), is_forced=True))
        else:
            p = rng.uniform(likely, 1.0)
            shares = [rng.random() for _ in range(4)]
            spellings = [piece[: rng.randint(0, n)] + rng.choice(['"', "}", ",", "x", "1", "é"]) for _ in shares]
            rest = [(1.0 - p) * share / (sum(shares) + 0.1) for share in shares]
            others = tuple(
                Alternative(spelling.encode(), math.log(q))
                for spelling, q in zip(spellings, rest, strict=True)
                if spelling != piece
            )
            choices.append(TokenChoice(at, piece.encode(), math.log(p), others))
        at += n
    return choices


CALLS = {
    "qwen2.5": '<tool_call>\n{"name": "get_time", "arguments": {"city": "Ouagadougou", "days": 3}}\n</tool_call>\n'
    '<tool_call>\n{"name": "send", "arguments": {"city": "a, b: {c}"}}\n</tool_call>',
    "watt-tool": "[get_time(city='Ouagadougou', days=3), send(city='a, b: {c}')]",
    "functionary-v3.1": '<function=get_time>{"city": "Ouagadougou", "days": 3}</function>'
    '<function=send>{"city": "a, b: {c}"}</function>',
    "mistral-small-3.2": '[TOOL_CALLS]get_time[CALL_ID]abcdefghi[ARGS]{"city": "Ouagadougou", "days": 3}'
    '[TOOL_CALLS]send[CALL_ID]abcdefghj[ARGS]{"city": "a, b: {c}"}',
    "mistral-nemo": '[TOOL_CALLS][{"name": "get_time", "arguments": {"city": "Ouagadougou", "days": 3}, '
    '"id": "123456789"}, {"name": "send", "arguments": {"city": "a, b: {c}"}, "id": "123456780"}]',
    "xlam-2-qwen": '[{"name": "get_time", "arguments": {"city": "Ouagadougou", "days": 3}}, '
    '{"name": "send", "arguments": {"city": "a, b: {c}"}}]',
    "near miss": '```json\n[{\n  "name": "get_time",\n  "arguments": {\n    "city": "Ouagadougou",\n    "days": 3\n'
    '  }\n}, {"name": "send", "arguments": {"city": "a, b: {c}"}}]\n```',
}


@pytest.mark.parametrize("form", CALLS)
@pytest.mark.parametrize("lead", ["", "Let me see.\n\n"], ids=["alone", "after text"])
@pytest.mark.parametrize("seed", range(8))
def test_the_decisions_of_a_text_do_not_depend_on_how_tokens_spell_it(form, lead, seed):
    family = get_family("qwen2.5" if form == "near miss" else form)
    text = lead + CALLS[form]
    choices = tokens_of(text, random.Random(seed))
    record = Record(family, TOOLS, lambda: family.parser(TOOLS))
    record.add(GenerationChunk(text, FinishReason.STOP, choices=(*choices, TokenChoice(len(text), b"", is_end=True))))
    report = record.decisions()
    assert_lawful(report)
    assert report.call.chosen == ("text" if lead else "call")
    assert [(call.name, {a.name: a.value.chosen for a in call.arguments}) for call in report.calls] == [
        ("get_time", {"city": "Ouagadougou", "days": 3}),
        ("send", {"city": "a, b: {c}"}),
    ]
    assert [call.left_out.chosen for call in report.calls] == [["unit"], ["unit", "days"]]
    assert [call.more.chosen for call in report.calls] == ["call", "end"]


@pytest.mark.parametrize("form", [form for form in CALLS if form != "near miss"])
def test_a_values_probability_is_the_product_of_its_tokens(form):
    family, text = get_family(form), CALLS[form]
    begin = text.index("Ouagadougou")
    cuts = [begin + 1, begin + 4, begin + 9]
    odds = [0.5, 0.8, 0.9]
    choices = [TokenChoice(0, text[: cuts[0]].encode(), is_forced=True)]
    for start, stop, p in zip(cuts, [*cuts[1:], begin + 11], odds, strict=True):
        choices.append(TokenChoice(start, text[start:stop].encode(), math.log(p), (Alternative(b"xy", math.log(0.1)),)))
    choices.append(TokenChoice(begin + 11, text[begin + 11 :].encode(), is_forced=True))
    places = find_places(text, family.parser(TOOLS), lambda name: family.output.call.around(name)[1])
    value = decisions(text, choices, places, Record(family, TOOLS, None)._offered).calls[0].arguments[0].value
    assert value.p == pytest.approx(0.5 * 0.8 * 0.9)
    assert (value.least_sure, [(o.chosen, round(o.p, 6)) for o in value.alternatives]) == ("uag", [("xy", 0.1)])


# --- one token, several choices --------------------------------------------------------------------------------------


def test_a_token_that_closes_a_value_and_goes_on_is_two_choices():
    others = (Alternative(b'"}', math.log(0.3)), Alternative(b"s", math.log(0.2)))
    (ends, goes_on) = decided_pieces('",', [TokenChoice(0, b'",', math.log(0.5), others)], [1])
    assert (ends.text, ends.p, [(o.text, o.p) for o in ends.others]) == ('"', pytest.approx(0.8), [("s", 0.2)])
    assert (goes_on.text, goes_on.p) == (",", pytest.approx(0.5 / 0.8))
    assert [(other.text, other.p) for other in goes_on.others] == [("}", pytest.approx(0.3 / 0.8))]


def report_of(text, *choices):
    """The report of a call of Hermes' form; what the choices leave out was forced."""
    family, filled, at = get_family("qwen2.5"), [], 0
    for choice in choices:
        if choice.start > at:
            filled.append(TokenChoice(at, text[at : choice.start].encode(), is_forced=True))
        filled.append(choice)
        at = choice.start + len(choice.piece)
    if at < len(text):
        filled.append(TokenChoice(at, text[at:].encode(), is_forced=True))
    record = Record(family, TOOLS, lambda: family.parser(TOOLS))
    record.add(GenerationChunk(text, FinishReason.STOP, choices=tuple(filled)))
    return record.decisions()


def chosen(text, piece, p, others, at=None):
    alternatives = tuple(Alternative(other.encode(), math.log(q)) for other, q in others.items())
    return TokenChoice(text.index(piece) if at is None else at, piece.encode(), math.log(p), alternatives)


ONE = '<tool_call>\n{"name": "get_time_zone", "arguments": {"city": "x", "days": 1}}\n</tool_call>'


def test_a_names_probability_is_summed_over_the_tokens_that_lead_to_it():
    """`get` and `ge` lead to the same two names; the third leaves at once, the shorter one at the last token."""
    first = chosen(ONE, "get", 0.5, {"ge": 0.2, "send": 0.2, "x": 0.05})
    last = chosen(ONE, "_zone", 0.6, {'",': 0.3, "_zo": 0.1})
    tool = report_of(ONE, first, last).calls[0].tool
    assert tool.p == pytest.approx((0.5 + 0.2) * (0.6 + 0.1))
    assert [(o.chosen, round(o.p, 6)) for o in tool.alternatives] == [("get_time", 0.21), ("send", 0.2)]


def test_names_that_leave_together_share_their_branch():
    text = ONE.replace("get_time_zone", "send")
    tool = report_of(text, chosen(text, "se", 0.6, {"get": 0.4})).calls[0].tool
    assert tool.p == pytest.approx(0.6)
    assert [(o.chosen, round(o.p, 6)) for o in tool.alternatives] == [(["get_time", "get_time_zone"], 0.4)]


def test_a_number_that_might_have_been_longer_is_a_matter_of_the_value():
    at = ONE.index("1}") + 1
    report = report_of(ONE, chosen(ONE, "1", 0.5, {"2": 0.5}), chosen(ONE, "}", 0.6, {"0": 0.25, ", ": 0.15}, at))
    days = report.calls[0].arguments[1]
    assert days.value.p == pytest.approx(0.5 * 0.75)
    assert report.calls[0].left_out.p == pytest.approx(0.6 / 0.75)
    assert [(o.chosen, round(o.p, 6)) for o in report.calls[0].left_out.alternatives] == [(", ", 0.2)]


def test_the_end_of_an_answer_is_weighed_against_another_call():
    end = TokenChoice(
        len(ONE), b"", math.log(0.7), (Alternative(b"\n", math.log(0.2)), Alternative(b"x", math.log(0.1))), is_end=True
    )
    more = report_of(ONE, end).calls[0].more
    assert (more.chosen, round(more.p, 6)) == ("end", 0.8)
    assert [(o.chosen, round(o.p, 6)) for o in more.alternatives] == [("call", 0.2)]


def test_a_thought_comes_before_the_decision():
    text = "<think>\nHm.\n</think>\n\n" + ONE
    at = text.index("<tool_call>")
    family = get_family("qwen3")
    choices = (
        TokenChoice(0, b"<think>", math.log(0.9), call=0.1),
        TokenChoice(7, text[7:at].encode(), is_forced=True),
        TokenChoice(at - 1, b"", math.log(0.9), call=0.8),
        TokenChoice(at, b"<tool_call>", math.log(0.7), call=0.75),
        TokenChoice(at + 11, text[at + 11 :].encode(), is_forced=True),
    )
    record = Record(family, TOOLS, lambda: family.parser(TOOLS))
    record.add(GenerationChunk(text, FinishReason.STOP, choices=choices))
    report = record.decisions()
    assert (report.call.chosen, report.call.p) == ("call", 0.75)
    assert report.calls[0].confidence == 0.75


def test_where_a_call_begins_with_its_name_one_token_decides_both():
    text = 'get_time\n{"city": "x"}'
    family = get_family("functionary-v3.2")
    others = (Alternative(b"send", math.log(0.2)), Alternative(b"all", math.log(0.4)))
    choices = (
        TokenChoice(0, b"get_time\n", math.log(0.4), others, call=0.6),
        TokenChoice(9, text[9:].encode(), is_forced=True),
    )
    record = Record(family, TOOLS, lambda: family.parser(TOOLS))
    record.add(GenerationChunk(text, FinishReason.STOP, choices=choices))
    call = record.decisions().calls[0]
    assert call.tool.p == pytest.approx(0.4 / 0.6)
    assert call.confidence == pytest.approx(0.4)
