"""The chat service over an engine without a model: what is asked becomes what may be generated."""

from __future__ import annotations

import copy
import json
import re

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner
from golden_cases import tools_named

from chat_templates import get_family
from server.chat.answer.continuation import Said
from server.chat.answer.guard import NoAnswer, RepeatedCall
from server.chat.answer.stream import fold
from server.chat.evidence.guard import HeldCall
from server.chat.request import ChatRequest, Thinking
from server.chat.service import ChatService
from server.chat.thinking import EFFORT_TOKENS, thought_of
from server.engine.async_engine import AsyncEngine
from server.engine.types import SamplingParams
from server.errors import RequestError

MESSAGES = ({"role": "user", "content": "hi"},)
TOOLS = tuple(tools_named("alpha", "beta", "gamma"))


@pytest.fixture
async def engine():
    engine = AsyncEngine(FakeRunner(n_ctx=4096, n_batch=512), ByteVocabulary())
    yield engine
    engine.close()


@pytest.fixture
def answer(engine):
    service = ChatService(engine, get_family("qwen2.5"))

    async def ask(**fields):
        request = ChatRequest(MESSAGES, TOOLS, max_tokens=120, **fields)
        return await fold(await service.open(request))

    return ask


def test_warming_up_prepares_a_request_and_evaluates_nothing(engine):
    rendered = []

    def render(messages, tools, **settings):
        rendered.append(len(tools))
        return get_family("qwen2.5").prompt(messages, tools, **settings)

    service = ChatService(engine, get_family("qwen2.5"), render, call_bias=1.0)
    service.warm_up()
    assert 1 in rendered
    assert "_decision_tokens" in vars(service)
    assert engine.metrics.decode_steps == engine.metrics.prefill_tokens == 0


def test_warming_up_a_model_that_takes_no_tools_is_no_failure(engine):
    service = ChatService(engine, get_family("minitron"))
    service.warm_up()
    with pytest.raises(RequestError):
        service._prepare(ChatRequest(MESSAGES, TOOLS))


async def test_only_allowed_tools_are_called_and_the_prompt_stays_the_same(answer):
    called = set()
    for seed in range(20):
        sampling = SamplingParams(seed=seed)
        result = await answer(tool_choice="required", allowed_tools=frozenset({"alpha", "gamma"}), sampling=sampling)
        called |= {call.name for call in result.tool_calls}
        everything = await answer(tool_choice="required", sampling=sampling)
        assert result.usage.prompt == everything.usage.prompt
    assert called == {"alpha", "gamma"}


async def test_a_request_may_allow_one_tool(answer):
    result = await answer(tool_choice="required", parallel_tool_calls=False, allowed_tools=frozenset({"beta"}))
    assert [call.name for call in result.tool_calls] == ["beta"]
    assert result.finish_reason == "tool_calls"


async def test_tools_are_left_as_they_were_and_mean_the_same_the_next_time(engine):
    place = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]}
    parameters = {
        "type": "object",
        "properties": {"place": {"$ref": "#/$defs/Place"}},
        "required": ["place"],
        "additionalProperties": False,
        "$defs": {"Place": place},
    }
    tools = ({"type": "function", "function": {"name": "go", "parameters": parameters}},)
    before = copy.deepcopy(tools)
    service = ChatService(engine, get_family("qwen2.5"))
    for seed in range(6):
        request = ChatRequest(
            MESSAGES, tools, tool_choice="required", max_tokens=120, sampling=SamplingParams(seed=seed)
        )
        calls = (await fold(await service.open(request))).tool_calls
        assert json.loads(calls[0].arguments)["place"]["city"] in {"Oslo", "Rome"}
    assert tools == before


async def test_a_call_bias_decides_whether_an_answer_begins_as_a_call(answer):
    for seed in range(5):
        sampling = SamplingParams(seed=seed)
        biased = await answer(call_bias=100.0, sampling=sampling)
        assert biased.tool_calls
        assert not biased.content
        assert all(json.loads(call.arguments) is not None for call in biased.tool_calls[:-1])
        text = (await answer(call_bias=-100.0, sampling=sampling)).content or ""
        assert not text.lstrip().startswith(("<", "{", "[", "`"))


def test_a_request_overrides_the_services_call_bias(engine):
    service = ChatService(engine, get_family("qwen2.5"), call_bias=100.0)

    def decision(**fields):
        generation, *_ = service._prepare(ChatRequest(MESSAGES, TOOLS, **fields))
        return generation.decision

    biased, own = decision(), decision(call_bias=-3.0)
    assert biased.offset == 100.0
    assert own.offset == -3.0
    assert biased.tokens == own.tokens != ()
    assert decision(call_bias=0.0) is None
    assert biased.commitment is not None
    assert own.commitment is None


async def test_a_call_bias_means_nothing_where_there_is_no_choice(answer):
    greedy = SamplingParams(temperature=0.0)
    for choice in ("none", "required"):
        unbiased = await answer(tool_choice=choice, sampling=greedy)
        biased = await answer(tool_choice=choice, sampling=greedy, call_bias=-100.0)
        assert (biased.content, [c.name for c in biased.tool_calls]) == (
            unbiased.content,
            [c.name for c in unbiased.tool_calls],
        )


@pytest.fixture
async def thinking_service():
    vocabulary = ByteVocabulary()
    engine = AsyncEngine(FakeRunner(n_ctx=4096, n_batch=512, n_vocab=len(vocabulary.pieces)), vocabulary)
    yield ChatService(engine, get_family("qwen3.5"))
    engine.close()


async def test_an_answer_begins_in_the_thought_that_its_prompt_opened(thinking_service):
    service = thinking_service

    async def ask(**fields):
        sampling = SamplingParams(seed=1)
        request = ChatRequest(MESSAGES, TOOLS, sampling=sampling, max_tokens=60, tool_choice="required", **fields)
        return await fold(await service.open(request))

    thinking = await ask()
    assert thinking.reasoning
    assert thinking.content is None
    assert not thinking.tool_calls
    at_once = await ask(thinking=Thinking(is_on=False))
    assert at_once.reasoning is None
    assert [call.name for call in at_once.tool_calls]

    def prepared(**fields):
        generation, tool_set, _ = service._prepare(ChatRequest(MESSAGES, TOOLS, call_bias=2.0, **fields))
        return generation.decision.is_open, tool_set.thought.is_open

    assert prepared() == (False, True)
    assert prepared(thinking=Thinking(is_on=False)) == (True, False)


@pytest.mark.parametrize("choice", ["auto", "required", "none"])
@pytest.mark.parametrize("bound", [1, 5])
async def test_a_thought_ends_at_its_bound_and_the_answer_goes_on(thinking_service, choice, bound):
    for seed in range(6):
        wish, sampling = Thinking(max_tokens=bound), SamplingParams(seed=seed)
        request = ChatRequest(MESSAGES, TOOLS, sampling=sampling, max_tokens=300, tool_choice=choice, thinking=wish)
        answer = await fold(await thinking_service.open(request))
        assert len((answer.reasoning or "").encode()) <= 4 * bound
        assert answer.usage.completion > bound
        assert bool(answer.tool_calls) or choice != "required" or answer.finish_reason == "length"


@pytest.mark.parametrize(
    ("wish", "bound"),
    [
        (Thinking(), None),
        (Thinking(effort="low"), EFFORT_TOKENS["low"]),
        (Thinking(effort="low", max_tokens=7), 7),
        (Thinking(effort="max"), None),
        (Thinking(is_on=False), 0),
    ],
)
def test_an_effort_bounds_a_thought_unless_the_client_does(wish, bound):
    request = ChatRequest(MESSAGES, TOOLS, thinking=wish)
    assert thought_of(request, get_family("ministral-3")).max_tokens == bound


@pytest.mark.parametrize(
    ("family_id", "said", "spoken"),
    [
        ("qwen3", Said(content="I look.", reasoning="Hm."), "<think>Hm.</think>\n\nI look."),
        ("qwen3", Said(content="I look.", reasoning=""), "I look."),
        ("functionary-v3.2", Said(content="I look.", reasoning=""), "all\nI look."),
        ("functionary-v3.2", Said(content="", reasoning=""), ""),
        (
            "gpt-oss",
            Said(content="I look.", reasoning="Hm."),
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>I look.",
        ),
    ],
)
async def test_what_goes_on_after_words_has_them_as_its_family_writes_them(family_id, said, spoken):
    vocabulary = ByteVocabulary()
    engine = AsyncEngine(FakeRunner(n_ctx=4096, n_batch=512, n_vocab=len(vocabulary.pieces)), vocabulary)
    service = ChatService(engine, get_family(family_id))
    request = ChatRequest(MESSAGES, TOOLS)
    generation, tool_set, _ = service._prepare(request)
    assert service._continuations.of(request, generation, tool_set)._spoken(said) == spoken
    engine.close()


async def test_what_goes_on_after_a_thought_that_the_prompt_opened_closes_it(thinking_service):
    service = thinking_service
    request = ChatRequest(MESSAGES, TOOLS)
    generation, tool_set, _ = service._prepare(request)
    continuation = service._continuations.of(request, generation, tool_set)
    assert continuation._spoken(Said(content="", reasoning="I look.\n")) == "I look.\n</think>\n\n"
    assert continuation._spoken(Said()) == "</think>\n\n"


async def test_thinking_is_switched_off_where_a_template_can(engine):
    def n_prompt(**fields):
        generation, *_ = ChatService(engine, get_family(fields.pop("family")))._prepare(ChatRequest(MESSAGES, **fields))
        return len(generation.tokens)

    off = {"template_kwargs": {"enable_thinking": False}}
    assert (
        n_prompt(family="qwen3", thinking=Thinking(is_on=False))
        == n_prompt(family="qwen3", **off)
        > n_prompt(family="qwen3")
    )
    assert n_prompt(
        family="qwen3", thinking=Thinking(is_on=False), template_kwargs={"enable_thinking": True}
    ) == n_prompt(family="qwen3")
    assert n_prompt(family="qwen2.5", thinking=Thinking(is_on=False)) == n_prompt(family="qwen2.5")
    with pytest.raises(RequestError, match="it knows: none") as caught:
        n_prompt(family="qwen2.5", **off)
    assert caught.value.param == "chat_template_kwargs.enable_thinking"


@pytest.mark.parametrize("family_id", ["mistral-nemo", "mistral-small-3.2"])
async def test_an_id_that_the_model_does_not_tell_in_time_can_be_sent_back_as_it_is(family_id, engine):
    family = get_family(family_id)
    request = ChatRequest(MESSAGES, TOOLS, tool_choice="required", parallel_tool_calls=False, max_tokens=120)
    (call,) = (await fold(await ChatService(engine, family).open(request))).tool_calls
    function = {"name": call.name, "arguments": call.arguments}
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": call.id, "function": function}]}
    history = [*MESSAGES, called, {"role": "tool", "tool_call_id": call.id, "content": "7"}]
    assert re.fullmatch("[a-zA-Z0-9]{9}", call.id)
    assert family.render(history, TOOLS).count(call.id) == 2


HOURS = {
    "type": "function",
    "function": {
        "name": "opening_hours",
        "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
    },
}
MONDAY = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c0", "function": {"name": "opening_hours", "arguments": '{"day": "Monday"}'}}],
}
OPEN = {"role": "tool", "tool_call_id": "c0", "content": "10 to 18"}


@pytest.fixture
def goes_on(engine, monkeypatch):
    """What goes on in place of a refused answer to this question, and what was asked of the engine."""
    asked = []

    class Engine:
        vocabulary, compile = engine.vocabulary, engine.compile

        def submit(self, request):
            asked.append(request)

    def of(question):
        service = ChatService(engine, get_family("qwen2.5"))
        monkeypatch.setattr(service._continuations, "engine", Engine())
        request = ChatRequest(({"role": "user", "content": question}, MONDAY, OPEN), (HOURS,), max_tokens=100)
        before, tool_set, _ = service._prepare(request)
        return service, before, service._continuations.of(request, before, tool_set).in_place_of, asked

    return of


def text_of(engine, request):
    return b"".join(engine.vocabulary.pieces[token] for token in request.tokens).decode()


async def test_in_place_of_a_repeat_the_tool_is_asked_for_what_else_the_user_named_and_then_for_words(goes_on, engine):
    service, before, go_on, asked = goes_on("When is it open on Monday, and when on Friday?")
    _, *held = (await go_on(RepeatedCall("opening_hours"), Said())).guards
    assert asked[0].tokens == before.tokens
    assert asked[0].max_tokens == 100
    assert [type(guard) for guard in held] == [HeldCall]
    assert service.repeated_calls == 0
    _, *held = (await go_on(RepeatedCall("opening_hours"), Said())).guards
    assert "Results of tools:\nopening_hours for Monday: 10 to 18" in text_of(engine, asked[1])
    assert "<tools>" not in text_of(engine, asked[1])
    assert (held, asked[1].max_tokens, service.repeated_calls) == ([], 100, 1)


async def test_where_the_user_named_no_value_the_answer_goes_on_in_words(goes_on, engine):
    _, _, go_on, asked = goes_on("When is it open at the beginning of the week?")
    _, *held = (await go_on(RepeatedCall("opening_hours"), Said())).guards
    assert held == []
    assert "Results of tools:" in text_of(engine, asked[0])


async def test_what_is_no_answer_becomes_another_call_or_words(goes_on, engine):
    _, before, go_on, asked = goes_on("When is it open on Monday, and when on Friday?")
    _, *held = (await go_on(NoAnswer(), Said())).guards
    assert [type(guard) for guard in held] == [HeldCall]
    assert asked[0].tokens == before.tokens
    _, *held = (await go_on(RepeatedCall("opening_hours"), Said())).guards
    assert held == []
    assert "Results of tools:" in text_of(engine, asked[1])


async def test_another_call_is_one_that_does_not_begin_with_the_answered_value(goes_on, engine):
    _, _, go_on, asked = goes_on("When is it open on Monday, and when on Friday?")
    await go_on(RepeatedCall("opening_hours"), Said())

    def allows(text):
        constraint = asked[0].constraint.fork()
        for token in engine.vocabulary.tokenize(text.encode(), parse_special=True):
            if not constraint.allows(token):
                return False
            constraint.accept(token)
        return True

    call = '<tool_call>\n{"name": "opening_hours", "arguments": {"day": "'
    assert allows(f"{call}Friday")
    assert not allows(f"{call}Monday")


async def test_the_end_of_an_answer_tells_the_stop_string_that_was_met(engine):
    service = ChatService(engine, get_family("qwen2.5"))
    for stop in ((), tuple("abcdefghijklmnopqrstuvwxyz")):
        request = ChatRequest(MESSAGES, max_tokens=120, stop=stop, sampling=SamplingParams(temperature=0.0))
        *_, end = [delta async for delta in await service.open(request)]
        assert (end.stop in stop) if stop else (end.stop is None)


async def test_a_system_message_that_becomes_the_users_is_told_once(engine):
    system, user = ({"role": role, "content": role} for role in ("system", "user"))
    for messages, told in (
        ((system, user), []),
        ((system, user, system), ["messages[2]"]),
        ((user, system, user, system, system), ["messages[1]"]),
    ):
        result = await fold(
            await ChatService(engine, get_family("mistral-nemo")).open(ChatRequest(messages, max_tokens=4))
        )
        warnings = [warning.fields() for warning in result.warnings]
        assert [warning["path"] for warning in warnings] == told
        assert all(warning["type"] == "system_moved" for warning in warnings)
        assert [warning["message"] for warning in warnings if "So are 2 more" in warning["message"]] == (
            [warnings[0]["message"]] if len(messages) == 5 else []
        )
        other = await fold(await ChatService(engine, get_family("qwen2.5")).open(ChatRequest(messages, max_tokens=4)))
        assert other.warnings == ()
