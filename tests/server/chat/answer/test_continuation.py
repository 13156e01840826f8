"""What an answer goes on with: one more call that was asked for, another tool, or words."""

from __future__ import annotations

import json

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from chat_templates import FAMILIES, get_family
from chat_templates import fold as fold_events
from server.chat.answer.continuation import DEFAULT_RULES, CallRules
from server.chat.answer.guard import UngroundedCall
from server.chat.answer.stream import ChatStream, fold
from server.chat.loop.guard import LoopGuard, answered_calls
from server.chat.request import ChatRequest, Logprobs
from server.chat.service import ChatService
from server.engine.async_engine import AsyncEngine
from server.engine.sampling.constraint import GrammarCompiler
from server.engine.types import FinishReason, GenerationChunk, GenerationUsage, TokenChoice
from server.errors import ContextLengthError, NotReadyError, OverloadedError

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = tuple({"type": "function", "function": {"name": name, "parameters": CITY}} for name in ("weather", "air"))
BOTH = "What's the weather in Oslo and in Rome?"
USAGE = GenerationUsage(prompt=9, cached=0, completion=5, forced=1, decode_steps=4)
CALLING = [name for name in FAMILIES if name != "minitron" and get_family(name).call_id_size is None]


def call_text(city, name="weather"):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': {'city': city}})}\n</tool_call>"


class Spoken:
    """A generation that says this text in pieces of seven characters."""

    n_prompt = 7

    def __init__(self, text, reason=FinishReason.STOP, size=7):
        self.left = [text[i : i + size] for i in range(0, len(text), size)] or [""]
        self._reason = reason

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        piece = self.left.pop(0)
        token = TokenChoice(0, piece.encode())
        return GenerationChunk(piece, None if self.left else self._reason, USAGE, (token,))

    async def aclose(self):
        self.left = []


@pytest.fixture
async def engine():
    engine = AsyncEngine(FakeRunner(n_ctx=4096, n_batch=512), ByteVocabulary())
    yield engine
    engine.close()


@pytest.fixture
def ask(engine, monkeypatch):
    """The answer to a question whose generations say these texts in turn, and the requests of those after the first."""

    async def answer(
        question, *said, size=7, then=(), rules=DEFAULT_RULES, family="qwen2.5", tools=TOOLS, ends=False, **fields
    ):
        service = ChatService(engine, get_family(family), rules=rules)
        later, requests = list(said[1:]), []

        class Engine:
            vocabulary, compile = engine.vocabulary, engine.compile

            def submit(self, request):
                if isinstance(later[0], Exception):
                    raise later.pop(0)
                requests.append(request)
                return Spoken(later.pop(0))

        monkeypatch.setattr(service._continuations, "engine", Engine())
        request = ChatRequest(({"role": "user", "content": question}, *then), tools, **{"max_tokens": 100, **fields})
        begun, tool_set, _ = service._prepare(request)
        continuation = service._continuations.of(request, begun, tool_set)
        stream = ChatStream(
            Spoken(said[0], size=size),
            tool_set.parser(),
            tool_set.schemas,
            None,
            guards=continuation.guards(LoopGuard(answered_calls(request.messages)) if ends else None),
            continuation=continuation,
            tells_tokens=request.logprobs is not None,
        )
        result = await fold(stream)
        assert not later
        return result, requests

    return answer


def calls(answer):
    return [(call.name, json.loads(call.arguments)["city"]) for call in answer.tool_calls]


async def test_a_call_that_the_question_names_is_asked_for(ask):
    answer, requests = await ask(BOTH, call_text("Oslo"), call_text("Rome"))
    assert calls(answer) == [("weather", "Oslo"), ("weather", "Rome")]
    assert answer.finish_reason == "tool_calls"
    assert len({call.id for call in answer.tool_calls}) == 2
    assert answer.usage.completion == 2 * USAGE.completion
    (further,) = requests
    assert 0 < further.max_tokens < 100
    assert further.constraint is not None


@pytest.mark.parametrize(("further", "is_told"), [(call_text("Rome"), True), (call_text("Bergen"), False)])
async def test_tokens_are_those_of_the_calls_that_are_told(ask, further, is_told):
    more = [] if is_told else [further.replace("weather", "air")]
    answer, _ = await ask(BOTH, call_text("Oslo"), further, *more, logprobs=Logprobs())
    told = b"".join(token.piece for token in answer.tokens).decode()
    assert told == call_text("Oslo") + (further if is_told else "")


@pytest.mark.parametrize(
    "error", [OverloadedError("full", retry_after_s=1.0), NotReadyError("stopping"), ContextLengthError(10, 9)]
)
async def test_an_answer_ends_as_it_stands_where_there_is_no_place_for_a_further_call(ask, error):
    answer, requests = await ask(BOTH, call_text("Oslo"), error)
    assert (calls(answer), requests, answer.finish_reason) == ([("weather", "Oslo")], [], "tool_calls")


async def test_a_further_call_continues_what_the_model_wrote(ask, engine):
    _, (further,) = await ask(BOTH, call_text("Oslo") + "\n", call_text("Rome"))
    text = b"".join(engine.vocabulary.pieces[token] for token in further.tokens).decode()
    assert text.endswith(call_text("Oslo") + "\n")
    assert not further.constraint.is_accepting
    begin = engine.vocabulary.tokenize(b"<tool_call>", parse_special=True)[0]
    assert further.constraint.fork().allows(begin)


@pytest.mark.parametrize("unasked", [call_text("Oslo"), call_text("Oslo", "air"), call_text("Bergen")])
async def test_a_call_that_nobody_asked_for_is_not_told_and_costs_steps_alone(ask, unasked):
    answer, requests = await ask(BOTH, call_text("Oslo"), unasked, unasked.replace("weather", "air"))
    assert calls(answer) == [("weather", "Oslo")]
    assert (answer.finish_reason, answer.warnings, answer.content) == ("tool_calls", (), None)
    assert answer.usage.completion == USAGE.completion
    assert answer.usage.decode_steps == (1 + len(requests)) * USAGE.decode_steps


@pytest.mark.parametrize(
    ("question", "fields"),
    [
        ("What's the weather in Oslo?", {}),
        (BOTH, {"parallel_tool_calls": False}),
        (BOTH, {"rules": CallRules(asks_for_more=False)}),
        (BOTH, {"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
    ],
)
async def test_no_further_call_is_asked_for(ask, question, fields):
    answer, requests = await ask(question, call_text("Oslo"), **fields)
    assert calls(answer) == [("weather", "Oslo")]
    assert requests == []


def answered(city):
    function = {"name": "weather", "arguments": json.dumps({"city": city})}
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }
    return called, {"role": "tool", "tool_call_id": "c", "content": "sunny"}


async def test_what_has_its_result_is_not_asked_for_again(ask):
    question = "What's the weather in Oslo and in Rome, and the air of Bergen?"
    said = (call_text("Rome"), call_text("Oslo"), call_text("Bergen", "air"))
    answer, _ = await ask(question, *said, then=answered("Oslo"))
    assert calls(answer) == [("weather", "Rome"), ("air", "Bergen")]
    answer, requests = await ask("The weather in Oslo and in Rome?", call_text("Rome"), then=answered("Oslo"))
    assert (calls(answer), requests) == ([("weather", "Rome")], [])


async def test_a_call_of_which_nothing_was_said_gives_way_to_another_tool(ask):
    answer, (other,) = await ask("is it cold in oslo", call_text("London", "air"), call_text("Oslo"))
    assert calls(answer) == [("weather", "Oslo")]
    assert [type(warning) for warning in answer.warnings] == [UngroundedCall]
    assert other.max_tokens == 100  # nothing of the first was told


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_what_may_be_said_in_place_of_a_call_does_not_depend_on_how_far_that_came(ask, size):
    said = ("Let me see. " + call_text("London"), call_text("Paris", "air"), "Hi, which city?")
    _, requests = await ask("Hello!", *said, size=size)
    assert {request.max_tokens for request in requests} == {100 - len("Let me see.")}


async def test_a_call_of_which_nothing_was_said_becomes_words(ask):
    answer, (_, words) = await ask("Hello!", call_text("London"), call_text("Paris", "air"), "Hi, which city?")
    assert (answer.tool_calls, answer.content, answer.finish_reason) == ((), "Hi, which city?", "stop")
    assert words.constraint is not None
    assert [warning.fields()["tool"] for warning in answer.warnings] == ["weather"]


async def test_a_tool_that_needs_nothing_is_not_called_in_place_of_another(ask):
    clock = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
    tick = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'
    answer, _ = await ask("Hello!", call_text("London"), tick, "Hi!", tools=(TOOLS[0], clock))
    assert (answer.tool_calls, answer.content) == ((), "Hi!")


async def test_where_a_call_must_be_the_first_one_is_made(ask):
    said = (call_text("London"), call_text("Paris", "air"), call_text("London"))
    answer, _ = await ask("Hello!", *said, tool_choice="required")
    assert calls(answer) == [("weather", "London")]


async def test_an_ungrounded_call_may_be_allowed(ask):
    answer, requests = await ask("Hello!", call_text("London"), rules=CallRules(grounded=False))
    assert (calls(answer), requests, answer.warnings) == ([("weather", "London")], [], ())


# Arguments of families whose calls are neither JSON nor Python.
TAGS = "<parameter=city>\nOslo\n</parameter>\n"
WRITTEN = {
    "functiongemma": "{city:<escape>Oslo<escape>}",
    "minicpm5": '<param name="city">Oslo</param>',
    "qwen3-coder": TAGS,
    "qwen3.5": TAGS,
    "gemma-4": '{city:<|"|>Oslo<|"|>}',
}


@pytest.mark.parametrize("family_id", CALLING)
def test_a_further_call_of_every_family_reads_as_one_after_those_before(family_id):
    family = get_family(family_id)
    form = family.output.call
    vocabulary = ByteVocabulary()
    special = [marker for marker in family.output.markers if marker in vocabulary.special]
    before, after = form.around("weather")
    arguments = "city='Oslo'" if "(" in before else WRITTEN.get(family_id, '{"city": "Oslo"}')
    one = f"{before}{arguments}{after}"
    other = one.replace("Oslo", "Rome")
    constraint = GrammarCompiler(vocabulary).compile(family.further_call(TOOLS, special))
    closing = form.closing
    for token in vocabulary.tokenize((other + closing).encode(), parse_special=True):
        constraint.accept(token)
    assert constraint.is_accepting
    opening = {"]": "["}.get(closing[:1], "")
    text = family.before_further(f"{opening}{one}{closing}\n") + other + closing
    parser = family.parser(TOOLS)
    message = fold_events([*parser.feed(text), *parser.finish()])
    assert [json.loads(call.arguments) for call in message.tool_calls] == [{"city": "Oslo"}, {"city": "Rome"}]


WHY = {"type": "string", "description": "Why the user should approve this call."}
ASKING = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {**CITY, "properties": {**CITY["properties"], "why": WHY}},
        },
    }
    for name in ("weather", "air")
)


def copying(city, name="weather"):
    arguments = {"why": "Why the user should approve this", "city": city}
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


async def test_arguments_that_are_copies_are_left_out_of_every_call(ask):
    answer, _ = await ask(BOTH, copying("Oslo"), copying("Rome"), tools=ASKING)
    assert [json.loads(call.arguments) for call in answer.tool_calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    (warning,) = answer.warnings
    assert warning.fields()["argument"] == "why"


async def test_copies_may_be_allowed(ask):
    answer, _ = await ask(BOTH, copying("Oslo"), copying("Rome"), tools=ASKING, rules=CallRules(drops_copies=False))
    assert all("why" in json.loads(call.arguments) for call in answer.tool_calls)
    assert answer.warnings == ()


async def test_a_call_is_a_repeat_if_it_is_told_as_the_answered_one(ask):
    called = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    then = (
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": "Sunny."},
    )
    answer, _ = await ask(
        "How is Oslo?", copying("Oslo"), copying("Oslo"), "It is sunny.", then=then, ends=True, tools=ASKING
    )
    assert (answer.content, answer.tool_calls) == ("It is sunny.", ())
    assert "repeated_call" in {warning.fields()["type"] for warning in answer.warnings}
