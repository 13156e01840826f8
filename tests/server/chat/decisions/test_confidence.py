"""Calls that are less sure than a request wants: not made, nothing of them told, and the answer goes on in words."""

from __future__ import annotations

import math

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from chat_templates import get_family
from server.chat.answer.continuation import CallRules, Next
from server.chat.answer.stream import ChatStream, fold
from server.chat.decisions.record import LowConfidence, Record
from server.chat.request import ChatRequest
from server.chat.schemas.enforced import EnforcedSchemas
from server.chat.service import ChatService
from server.engine.async_engine import AsyncEngine
from server.engine.types import Alternative, FinishReason, GenerationChunk, GenerationUsage, SamplingParams, TokenChoice

FAMILY = get_family("qwen2.5")
TOOLS = tuple({"type": "function", "function": {"name": name}} for name in ("search", "fetch"))
ONE_CALL = {"type": "object", "properties": {"q": {"enum": ["a"]}}, "required": ["q"], "additionalProperties": False}
USAGE = GenerationUsage(prompt=9, cached=0, completion=5, forced=1, decode_steps=4)
FETCH = ("<tool_call>", '\n{"name": "', "fetch", '", "arguments": {', "}", "}\n</tool_call>")

# What a model writes is judged here, not what the conversation asks for.
AS_WRITTEN = CallRules(asks_for_more=False, grounded=False)


class Spoken:
    """A generation that says these chunks."""

    n_prompt = 7

    def __init__(self, chunks):
        self.left = list(chunks)
        self.is_closed = False

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)

    async def aclose(self):
        self.is_closed = True


def chunks(pieces, *, call, name, at=0):
    """Chunks of one token each: a call that is decided with `call` and whose name has the odds `name`."""
    told = []
    for i, piece in enumerate(pieces):
        others = (Alternative(b"search", math.log(1.0 - name)),) if piece == "fetch" and name < 1.0 else ()
        odds = {"<tool_call>": call, "fetch": name}.get(piece, 1.0)
        opened = call if i == 0 and at == 0 else None
        choice = TokenChoice(at, piece.encode(), math.log(odds), others, is_forced=odds == 1.0, call=opened)
        told.append(GenerationChunk(piece, usage=USAGE, choices=(choice,)))
        at += len(piece)
    return told


def end(text=""):
    return GenerationChunk(text, FinishReason.STOP, USAGE)


async def answer(spoken, least, words=None):
    """The deltas of an answer under `min_confidence`."""
    generation = Spoken(spoken)

    class Continuation:
        async def in_place_of(self, reason, said):
            words.append((said.content, reason))
            return Next(Spoken([GenerationChunk("Which page?"), end()]), FAMILY.parser(()), ())

        async def further(self, _made, _text):
            return None

        def ended(self):
            return ()

    stream = ChatStream(
        generation,
        FAMILY.parser(TOOLS),
        EnforcedSchemas({}),
        None,
        guards=[],
        continuation=None if words is None else Continuation(),
        record=Record(FAMILY, TOOLS, lambda: FAMILY.parser(TOOLS), min_confidence=least),
    )
    return generation, [delta async for delta in stream]


async def test_a_call_less_sure_than_wanted_is_not_made_and_nothing_of_it_is_told():
    words = []
    generation, deltas = await answer([*chunks(FETCH, call=0.8, name=0.7), end()], 0.6, words)
    assert generation.is_closed
    assert len(generation.left) == 3  # nobody waited for the arguments
    assert [delta.content for delta in deltas if delta.content] == ["Which page?"]
    assert all(delta.tool_call is None for delta in deltas)
    last = deltas[-1]
    assert last.finish_reason == "stop"
    (warning,) = last.warnings
    assert (warning.tool, warning.confidence, warning.wanted) == ("fetch", pytest.approx(0.56), 0.6)
    assert "'fetch' with a confidence of 0.560" in warning.fields()["message"]
    assert words == [("", warning)]
    (call,) = last.decisions.calls
    assert (last.decisions.call.chosen, call.name, call.withheld) == ("call", "fetch", "low_confidence")
    assert last.usage == USAGE.and_then(USAGE)


async def test_a_call_as_sure_as_wanted_is_told_as_soon_as_its_name_is_known():
    _, deltas = await answer([*chunks(FETCH, call=0.8, name=0.8), end()], 0.6)
    assert next(delta.tool_call.name for delta in deltas if delta.tool_call) == "fetch"
    assert deltas[-1].warnings == ()
    assert deltas[-1].decisions.calls[0].withheld is None


async def test_an_answer_that_has_a_call_ends_before_a_doubtful_one():
    text = "".join(FETCH) + "\n"
    spoken = [
        *chunks(FETCH, call=1.0, name=1.0),
        GenerationChunk("\n"),
        *chunks(FETCH, call=0.9, name=0.3, at=len(text)),
    ]
    _, deltas = await answer([*spoken, end()], 0.5, [])
    assert [delta.tool_call.name for delta in deltas if delta.tool_call and delta.tool_call.name] == ["fetch"]
    assert deltas[-1].finish_reason == "tool_calls"
    assert isinstance(deltas[-1].warnings[0], LowConfidence)
    assert [call.withheld for call in deltas[-1].decisions.calls] == [None, "low_confidence"]


async def test_the_service_holds_doubtful_calls_to_words_and_counts_them():
    vocabulary = ByteVocabulary()
    engine = AsyncEngine(FakeRunner(len(vocabulary.pieces), n_ctx=8192, n_batch=512), vocabulary)
    try:
        service = ChatService(engine, FAMILY, rules=AS_WRITTEN)

        async def ask(**fields):
            settings = {"call_bias": 100.0, "max_tokens": 60, "sampling": SamplingParams(temperature=0.0), **fields}
            return await fold(await service.open(ChatRequest(({"role": "user", "content": "hi"},), TOOLS, **settings)))

        called = await ask()
        assert called.tool_calls
        sure = await ask(min_confidence=0.0)
        assert [(c.name, c.arguments) for c in sure.tool_calls] == [(c.name, c.arguments) for c in called.tool_calls]
        assert (sure.decisions, service.doubted_calls) == (None, 0)
        doubted = await ask(min_confidence=1.0, wants_decisions=True)
        assert not doubted.tool_calls
        assert doubted.content
        assert [warning.fields()["type"] for warning in doubted.warnings] == ["low_confidence"]
        assert doubted.decisions.calls[-1].withheld == "low_confidence"
        assert (service.doubted_calls, service.repeated_calls) == (1, 0)
    finally:
        engine.close()


@pytest.mark.parametrize("family_id", ["functionary-v3.2", "functionary-v2", "mistral-small-3.2", "watt-tool"])
async def test_a_call_that_a_limit_cuts_anywhere_has_a_confidence(family_id):
    vocabulary = ByteVocabulary()
    engine = AsyncEngine(FakeRunner(len(vocabulary.pieces), n_ctx=8192, n_batch=512), vocabulary)
    try:
        service = ChatService(engine, get_family(family_id), rules=AS_WRITTEN)
        settings = {"call_bias": 100.0, "sampling": SamplingParams(temperature=0.0), "min_confidence": 0.0}
        for max_tokens in range(1, 40):
            request = ChatRequest(({"role": "user", "content": "hi"},), TOOLS, max_tokens=max_tokens, **settings)
            answer = await fold(await service.open(request))
            assert answer.warnings == ()
        assert answer.tool_calls
    finally:
        engine.close()


async def test_a_repeated_call_is_told_among_the_decisions():
    vocabulary = ByteVocabulary()
    engine = AsyncEngine(FakeRunner(len(vocabulary.pieces), n_ctx=8192, n_batch=512), vocabulary)
    try:
        service = ChatService(engine, FAMILY, rules=AS_WRITTEN)
        thoughtless = SamplingParams(temperature=0.0, logit_bias={vocabulary.special["<think>"]: -100.0})
        settings = {"call_bias": 100.0, "max_tokens": 200, "wants_decisions": True, "sampling": thoughtless}
        tools = ({"type": "function", "function": {"name": "search", "parameters": ONE_CALL}},)
        request = ChatRequest(({"role": "user", "content": "hi"},), tools, **settings)
        first = (await fold(await service.open(request))).tool_calls[0]
        function = {"name": first.name, "arguments": first.arguments}
        turns = [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "a", "content": "found"},
        ]
        again = ChatRequest((*request.messages, *turns), tools, **settings)
        answer = await fold(await service.open(again))
        kinds = [warning.fields()["type"] for warning in answer.warnings]
        withheld = [call.withheld for call in answer.decisions.calls if call.withheld]
        assert kinds == withheld == ["repeated_call"]
    finally:
        engine.close()
