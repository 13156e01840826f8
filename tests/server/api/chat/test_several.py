"""Several answers to one request, and the tokens that they are made of."""

from __future__ import annotations

import math

import openai as sdk
import pytest
from scripted_chat import CALLS, TEXT, USAGE

from server.chat.request import ChatDelta, Logprobs
from server.engine.types import Alternative, TokenChoice
from server.errors import OverloadedError

MESSAGES = [{"role": "user", "content": "hi"}]
ASK = {"model": "tiny", "messages": MESSAGES}

HEL = TokenChoice(0, b"Hel", math.log(0.5), (Alternative(b"Hey", math.log(0.3)), Alternative(b"", -3.0, is_end=True)))
HALF = TokenChoice(3, b"\xe4\xb8", -0.25, (Alternative(b"lo", -0.125),))
REST = TokenChoice(3, b"\x96", is_forced=True)
END = TokenChoice(4, b"", -0.1, is_end=True)
TOLD = (
    ChatDelta(content=" ", tokens=(HEL,)),
    ChatDelta(content="Hel", tokens=(HALF,)),
    ChatDelta(content="世", tokens=(REST,)),
    ChatDelta(finish_reason="stop", usage=USAGE, tokens=(END,)),
)


async def test_several_answers_come_in_one(chat, openai):
    chat.script = TEXT
    answer = await openai.chat.completions.create(**ASK, n=3, seed=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"Hello, 世界"}
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (82, 3 * 17)
    assert [request.sampling.seed for request in chat.requests] == [5, 6, 7]
    assert all(stream.is_closed.is_set() for stream in chat.streams)


@pytest.mark.parametrize("script", [TEXT, CALLS])
async def test_the_sdks_stream_helper_collects_several_answers(chat, openai, script):
    chat.script = script
    whole = await openai.chat.completions.create(**ASK, n=3)
    async with openai.chat.completions.stream(**ASK, n=3, stream_options={"include_usage": True}) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    for streamed, at_once in zip(final.choices, whole.choices, strict=True):
        assert streamed.finish_reason == at_once.finish_reason
        assert streamed.message.content == at_once.message.content
        calls = [
            [(call.id, call.function.arguments) for call in m.tool_calls or ()]
            for m in (streamed.message, at_once.message)
        ]
        assert calls[0] == calls[1]
    assert final.usage.completion_tokens == whole.usage.completion_tokens


async def test_all_answers_are_admitted_or_none(chat, ask):
    answers = iter([True, True, False])
    admit = chat.open

    async def open_some(request):
        if next(answers):
            return await admit(request)
        raise OverloadedError("full", retry_after_s=1)

    chat.open = open_some
    assert (await ask(n=3)).status_code == 429
    assert [stream.is_closed.is_set() for stream in chat.streams] == [True, True]


@pytest.mark.parametrize("n", [0, -1, 9, 10**9, 1.5, "2", True])
async def test_a_number_of_answers_out_of_bounds_is_refused(chat, ask, n):
    response = await ask(n=n)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "n")
    assert chat.requests == []


async def test_tokens_are_told_with_what_else_might_have_come(chat, openai):
    chat.script = TOLD
    answer = await openai.chat.completions.create(**ASK, logprobs=True, top_logprobs=2)
    first, second, third = answer.choices[0].logprobs.content
    assert (first.token, first.bytes, first.logprob) == ("Hel", [*b"Hel"], math.log(0.5))
    assert [(top.token, top.logprob) for top in first.top_logprobs] == [("Hel", math.log(0.5)), ("Hey", math.log(0.3))]
    assert (second.token, second.bytes) == ("\ufffd", [0xE4, 0xB8])
    assert [top.token for top in second.top_logprobs] == ["lo", "\ufffd"]
    assert (third.bytes, third.logprob) == ([0x96], 0.0)
    assert chat.requests[0].logprobs == Logprobs(2)


async def test_streamed_tokens_are_those_of_the_whole_answer(chat, openai):
    chat.script = TOLD
    whole = await openai.chat.completions.create(**ASK, logprobs=True, top_logprobs=1)
    stream = await openai.chat.completions.create(**ASK, logprobs=True, top_logprobs=1, stream=True)
    choices = [chunk.choices[0] async for chunk in stream]
    told = [token for choice in choices if choice.logprobs for token in choice.logprobs.content]
    assert told == whole.choices[0].logprobs.content


async def test_nobody_is_told_tokens_who_does_not_ask(chat, openai):
    chat.script = TOLD
    assert (await openai.chat.completions.create(**ASK)).choices[0].logprobs is None
    assert chat.requests[0].logprobs is None


async def test_raw_probabilities_are_those_without_the_mask(chat, ask):
    assert (await ask(logprobs=True, logprobs_mode="raw")).status_code == 200
    assert chat.requests[0].logprobs == Logprobs(0, is_free=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"top_logprobs": 2},
        {"logprobs": True, "top_logprobs": 21},
        {"logprobs_mode": "raw"},
        {"n": 2, "decisions": True},
    ],
)
async def test_what_cannot_be_told_is_refused(openai, fields):
    with pytest.raises(sdk.BadRequestError):
        await openai.chat.completions.create(**ASK, extra_body=fields)
