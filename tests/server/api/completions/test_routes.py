"""POST /v1/completions as the OpenAI SDK and plain HTTP see it."""

from __future__ import annotations

import asyncio

import openai as sdk
import pytest
from leaving_client import run_until_left
from openai.types import Completion
from scripted_chat import PIECES, USAGE

from server.api.answer.merge import Merge
from server.chat.completion import CompletionRequest
from server.engine.types import Alternative, FinishReason, GenerationChunk, SamplingParams, TokenChoice
from server.errors import ContextLengthError, EngineError, OverloadedError


@pytest.fixture
def complete(http):
    async def post(**fields):
        return await http.post("/v1/completions", json={"model": "tiny", "prompt": "hi", **fields})

    return post


async def test_a_text_is_a_text_completion(complete, openai):
    body = (await complete()).json()
    Completion.model_validate({**body, "choices": [{**c, "logprobs": None} for c in body["choices"]]})
    assert body["object"] == "text_completion"
    assert body["id"].startswith("cmpl-")
    assert body["choices"] == [{"index": 0, "text": "once upon", "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["total_tokens"] == USAGE.prompt + USAGE.completion
    answer = await openai.completions.create(model="tiny", prompt="hi")
    assert answer.choices[0].text == "once upon"


async def test_everything_honoured_reaches_the_completion(completion, complete):
    response = await complete(
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=-1,
        frequency_penalty=1,
        logit_bias={"3": -100},
        seed=7,
        stop=["a", "b"],
        echo=True,
        best_of=1,
        user="ann",
        suffix=None,
        logprobs=None,
    )
    assert response.status_code == 200
    sampling = SamplingParams(0.5, top_p=0.9, presence_penalty=-1, frequency_penalty=1, logit_bias={3: -100}, seed=7)
    assert completion.requests == [CompletionRequest("hi", sampling, 5, ("a", "b"), echo=True)]


@pytest.mark.parametrize("absent", [{}, {"max_tokens": None, "n": None, "echo": None, "temperature": None}])
async def test_defaults_are_openais(completion, complete, absent):
    await complete(**absent)
    assert completion.requests == [CompletionRequest("hi", SamplingParams(), max_tokens=16)]


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("a", [("a", "prompt")]),
        (["a", ""], [("a", "prompt[0]"), ("", "prompt[1]")]),
        ([1, 2], [((1, 2), "prompt")]),
        ([[1], [2, 0]], [((1,), "prompt[0]"), ((2, 0), "prompt[1]")]),
    ],
)
async def test_a_prompt_has_four_forms(completion, complete, prompt, read):
    body = (await complete(prompt=prompt)).json()
    assert [(request.prompt, request.param) for request in completion.requests] == read
    assert [choice["index"] for choice in body["choices"]] == list(range(len(read)))


async def test_n_answers_to_each_prompt_have_seeds_of_their_own(completion, complete):
    body = (await complete(prompt=["a", "b"], n=3, seed=-1)).json()
    assert [request.prompt for request in completion.requests] == ["a"] * 3 + ["b"] * 3
    assert [request.sampling.seed for request in completion.requests] == [2**64 - 1, 0, 1] * 2
    assert [choice["index"] for choice in body["choices"]] == list(range(6))
    assert body["usage"]["prompt_tokens"] == 2 * USAGE.prompt
    assert body["usage"]["completion_tokens"] == 6 * USAGE.completion


async def test_the_chunks_add_up_to_the_whole_answer(openai):
    fields = {"model": "tiny", "prompt": ["a", "b"], "n": 2}
    whole = await openai.completions.create(**fields)
    stream = await openai.completions.create(**fields, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    texts = dict.fromkeys(range(4), "")
    reasons = {}
    for chunk in chunks[:-1]:
        assert chunk.usage is None
        (choice,) = chunk.choices
        texts[choice.index] += choice.text
        reasons[choice.index] = choice.finish_reason
    assert texts == {choice.index: choice.text for choice in whole.choices}
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({(chunk.id, chunk.object, chunk.created) for chunk in chunks}) == 1


async def test_usage_is_streamed_only_when_asked_for(complete):
    text = (await complete(stream=True)).text
    assert "usage" not in text
    assert text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": 3}, "prompt", "invalid_type"),
        ({"prompt": [1, "a"]}, "prompt", "invalid_type"),
        ({"prompt": [[1], "a"]}, "prompt", "invalid_type"),
        ({"prompt": [True]}, "prompt", "invalid_type"),
        ({"prompt": []}, "prompt", "invalid_value"),
        ({"prompt": ["a"] * 5, "n": 8}, "prompt", "invalid_value"),
        ({"n": 9}, "n", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"best_of": 3}, "best_of", "unsupported_parameter"),
        ({"suffix": 1}, "suffix", "invalid_type"),
        ({"logprobs": 6}, "logprobs", "invalid_value"),
        ({"logprobs": 1, "echo": True, "suffix": "."}, "suffix", "unsupported_parameter"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"model": "gpt-5"}, "model", "model_not_found"),
        ({"logit_bias": {"100": 1}}, "logit_bias", "invalid_value"),
    ],
)
async def test_what_cannot_be_served_is_refused_by_name(completion, complete, fields, param, code):
    response = await complete(**fields)
    error = response.json()["error"]
    assert (response.status_code // 100, error["param"], error["code"]) == (4, param, code)
    assert completion.requests == []


async def test_if_one_answer_is_refused_all_are_and_none_keeps_running(completion, openai):
    completion.refusal, completion.n_admitted = OverloadedError("full", retry_after_s=1), 2
    with pytest.raises(sdk.RateLimitError):
        await openai.completions.create(model="tiny", prompt="a", n=3)
    assert [stream.is_closed.is_set() for stream in completion.streams] == [True, True]


async def test_a_refusal_before_the_first_byte_is_an_error_streamed_too(completion, openai):
    completion.refusal = ContextLengthError(9000, 8192, param="prompt", parts="the prompt")
    with pytest.raises(sdk.BadRequestError) as caught:
        await openai.completions.create(model="tiny", prompt="a", stream=True)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_in_the_middle_closes_every_answer(completion, complete, stream):
    completion.script = (PIECES[0], EngineError("the context broke"))
    response = await complete(n=2, stream=stream)
    assert response.status_code == (200 if stream else 500)
    assert "the context broke" in response.text
    assert "[DONE]" not in response.text
    assert all(source.is_closed.is_set() for source in completion.streams)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_stops_all_its_answers(completion, app, stream):
    completion.script = (PIECES[0], asyncio.Event())
    leave = asyncio.Event()
    asyncio.get_running_loop().call_later(0.12, leave.set)
    body = {"model": "tiny", "prompt": "a", "n": 3, "stream": stream}
    sent = await run_until_left(app, "/v1/completions", body, leave)
    assert not any(b"[DONE]" in message.get("body", b"") for message in sent)
    assert [source.is_closed.is_set() for source in completion.streams] == [True] * 3


async def test_a_merge_tells_each_source_in_its_order_and_waits_for_none():
    gate = asyncio.Event()

    async def slow():
        await gate.wait()
        yield "late"

    async def fast():
        yield "a"
        yield "b"
        gate.set()

    merged = Merge([slow(), fast()])
    assert [piece async for piece in merged] == [(1, "a"), (1, "b"), (0, "late")]
    await merged.aclose()


async def test_tokens_are_told_with_their_places(completion, openai):
    first = TokenChoice(0, b"once ", -0.5, (Alternative(b"Once", -1.0),))
    completion.script = (
        GenerationChunk("once ", choices=(first,)),
        GenerationChunk("", choices=(TokenChoice(5, b"upon", is_forced=True),)),
        GenerationChunk("upon", FinishReason.STOP, USAGE, (TokenChoice(9, b"", -0.1, is_end=True),)),
    )
    answer = await openai.completions.create(model="tiny", prompt="a", logprobs=2)
    told = answer.choices[0].logprobs
    assert (told.tokens, told.token_logprobs, told.text_offset) == (["once ", "upon"], [-0.5, 0.0], [0, 5])
    assert told.top_logprobs == [{"once ": -0.5, "Once": -1.0}, {"upon": 0.0}]
    assert completion.requests[0].n_others == 2

    stream = await openai.completions.create(model="tiny", prompt="a", logprobs=2, stream=True)
    streamed = [token async for chunk in stream for token in chunk.choices[0].logprobs.tokens]
    assert streamed == told.tokens


async def test_a_prompts_first_token_has_no_probability(completion, openai):
    prompt = (TokenChoice(0, b"On", is_first=True), TokenChoice(2, b"ce", -0.5, (Alternative(b"ly", -1.0),)))
    completion.script = (
        GenerationChunk("Once", choices=prompt),
        GenerationChunk(" upon", FinishReason.STOP, USAGE, (TokenChoice(4, b" upon", -0.25),)),
    )
    answer = await openai.completions.create(model="tiny", prompt="Once", logprobs=1, echo=True)
    told = answer.choices[0].logprobs
    assert (told.tokens, told.text_offset) == (["On", "ce", " upon"], [0, 2, 4])
    assert told.token_logprobs == [None, -0.5, -0.25]
    assert told.top_logprobs == [None, {"ce": -0.5}, {" upon": -0.25}]
    assert completion.requests[0].echo


@pytest.mark.parametrize(("given", "asked"), [("the end", "the end"), ("", None), (None, None)])
async def test_a_suffix_reaches_the_service(completion, complete, given, asked):
    assert (await complete(suffix=given)).status_code == 200
    assert completion.requests[0].suffix == asked
