"""The engine on SmolLM2: the laws of the fake-runner tests, where kernels and not lists hold the memory."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from server.engine.async_engine import AsyncEngine
from server.engine.embedder import Embedder
from server.engine.runner import LlamaRunner
from server.engine.types import FinishReason, GenerationChunk, GenerationRequest, SamplingParams
from server.llama.context import Context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.llama.model import Model

pytestmark = pytest.mark.native

GREEDY = SamplingParams(temperature=0.0)
QUESTIONS = (
    "What is the capital of France?",
    "Write a short story about a robot.",
    "Explain photosynthesis in simple words.",
    "List three uses of a brick.",
)
CALL = """
start: "<tool_call>\\n" call
call: %json {
  "type": "object",
  "properties": {
    "name": {"const": "get_current_weather"},
    "arguments": {
      "type": "object",
      "properties": {"location": {"type": "string", "maxLength": 40}, "unit": {"enum": ["celsius", "fahrenheit"]}},
      "required": ["location", "unit"], "additionalProperties": false
    }
  },
  "required": ["name", "arguments"], "additionalProperties": false,
  "x-guidance": {"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "}
}
"""


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> Iterator[Model]:
    from server.llama.model import Model

    with Model(smollm2_path) as model:
        yield model


@pytest.fixture
def engine(model: Model) -> Iterator[AsyncEngine]:
    engine = open_engine(model)
    yield engine
    engine.close()


def open_engine(model: Model, *, n_ctx: int = 4096, n_draft: int = 0) -> AsyncEngine:
    from server.llama.context import Context

    context = Context(model, n_ctx=n_ctx, n_batch=512, n_ubatch=512, n_seq_max=8, n_threads=2)
    return AsyncEngine(LlamaRunner(context), model.vocabulary, n_parallel=4, n_draft=n_draft)


def chat(engine: AsyncEngine, question: str, system: str = "") -> tuple[int, ...]:
    text = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    text += f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    return tuple(engine.vocabulary.tokenize(text.encode(), parse_special=True))


async def read(engine: AsyncEngine, request: GenerationRequest) -> tuple[str, GenerationChunk]:
    chunks = [chunk async for chunk in engine.submit(request)]
    return "".join(chunk.text for chunk in chunks), chunks[-1]


async def test_a_greedy_answer_makes_sense(engine: AsyncEngine) -> None:
    text, last = await read(engine, GenerationRequest(chat(engine, QUESTIONS[0]), GREEDY, 40))
    assert "Paris" in text
    assert last.usage.decode_steps == last.usage.completion - 1


async def test_four_answers_at_once_are_the_four_answers_alone(model: Model) -> None:
    """Of any length, in a memory where others were before them."""
    questions = [f"{question} {'Take your time. ' * 40 * i}" for i, question in enumerate(QUESTIONS)]
    alone = []
    for question in questions:
        engine = open_engine(model)
        alone.append((await read(engine, GenerationRequest(chat(engine, question), GREEDY, 48)))[0])
        engine.close()
    engine = open_engine(model)
    await asyncio.gather(*(read(engine, GenerationRequest(chat(engine, f"{i}"), GREEDY, 5 + i)) for i in range(5)))
    requests = [GenerationRequest(chat(engine, question), GREEDY, 48) for question in questions]
    assert sum(len(request.tokens) for request in requests) > 1000
    together = await asyncio.gather(*(read(engine, request) for request in requests))
    engine.close()
    assert [text for text, _ in together] == alone


async def test_drafts_change_no_greedy_answer(model: Model) -> None:
    plain, drafting = open_engine(model), open_engine(model, n_draft=12)
    n_steps = [0, 0]
    for question in ("Count from one to thirty in words.", "Repeat the word rain forty times.", *QUESTIONS[:2]):
        request = GenerationRequest(chat(plain, question), GREEDY, 80)
        (expected, alone), (text, last) = await read(plain, request), await read(drafting, request)
        assert text == expected
        n_steps[0] += alone.usage.decode_steps
        n_steps[1] += last.usage.decode_steps
    plain.close()
    drafting.close()
    assert n_steps[1] < n_steps[0]  # or no draft was tried


async def test_a_prompts_tokens_are_as_likely_as_when_they_were_generated(engine: AsyncEngine) -> None:
    prompt = chat(engine, QUESTIONS[0])
    asked = engine.submit(GenerationRequest(prompt, GREEDY, 24, n_others=0))
    generated = [choice for chunk in [chunk async for chunk in asked] for choice in chunk.choices if not choice.is_end]
    text = b"".join(choice.piece for choice in generated)
    tokens = (*prompt, *engine.vocabulary.tokenize(text, parse_special=False))
    assert len(tokens) == len(prompt) + len(generated), "the text has other tokens now"
    weighing = engine.submit(GenerationRequest(tokens, GREEDY, 1, n_others=0, weighs_prompt=True))
    told = [token for chunk in [chunk async for chunk in weighing] for token in chunk.prompt]
    assert len(told) == len(tokens)
    assert [token.logprob for token in told[len(prompt) :]] == pytest.approx(
        [choice.logprob for choice in generated], abs=0.05
    )


async def test_a_reused_prefix_gives_the_text_of_a_cold_start(model: Model, engine: AsyncEngine) -> None:
    system = "You are a helpful assistant that answers in one sentence. " * 8
    warm_up = GenerationRequest(chat(engine, "Hello!", system), GREEDY, 5)
    request = GenerationRequest(chat(engine, QUESTIONS[0], system), GREEDY, 40)
    await read(engine, warm_up)
    warm, last = await read(engine, request)
    assert last.usage.cached > 80
    cold_engine = open_engine(model)
    cold, first = await read(cold_engine, request)
    cold_engine.close()
    assert first.usage.cached == 0
    assert warm == cold


async def test_a_constrained_call_is_valid_json_and_mostly_forced(engine: AsyncEngine) -> None:
    request = GenerationRequest(
        chat(engine, "How warm is it in Paris, in celsius?"), GREEDY, 120, constraint=engine.compile(CALL)
    )
    text, last = await read(engine, request)
    call = json.loads(text.removeprefix("<tool_call>\n"))
    assert call["name"] == "get_current_weather"
    assert call["arguments"]["unit"] == "celsius"
    assert last.finish_reason is FinishReason.STOP
    assert last.usage.decode_steps <= 0.5 * last.usage.completion


@pytest.mark.parametrize("seed", range(8))
async def test_forced_runs_are_the_tokens_that_the_mask_allows(engine: AsyncEngine, seed: int) -> None:
    """With the model's own merges: a forced run is what masks with one bit each would give."""
    rng = np.random.default_rng(seed)
    jumping, stepping = engine.compile(CALL), engine.compile(CALL)
    n_forced = 0
    while not jumping.is_finished:
        for token in jumping.forced():
            allowed = np.flatnonzero(np.unpackbits(stepping.mask().view(np.uint8), bitorder="little"))
            assert allowed.tolist() == [token]
            stepping.accept(token)
            n_forced += 1
        if not jumping.is_finished:
            allowed = np.flatnonzero(np.unpackbits(jumping.mask().view(np.uint8), bitorder="little"))
            token = int(rng.choice(allowed))
            jumping.accept(token)
            stepping.accept(token)
    assert stepping.is_finished
    assert n_forced > 10


async def test_preempted_answers_are_those_of_nobody_in_the_way(model: Model) -> None:
    """Memory for 512 tokens, four answers of 200: some sequence must wait and be evaluated again."""
    engine = open_engine(model, n_ctx=512)
    requests = [
        GenerationRequest(
            chat(engine, question),
            SamplingParams(temperature=0.0, logit_bias=dict.fromkeys(engine.vocabulary.eog, -100.0)),
            200,
        )
        for question in QUESTIONS
    ]
    answers = await asyncio.gather(*(read(engine, request) for request in requests))
    engine_metrics = engine.metrics
    engine.check_integrity()
    engine.close()
    assert [last.usage.completion for _, last in answers] == [200] * 4
    undisturbed = open_engine(model)
    for request, (text, _) in zip(requests, answers, strict=True):
        assert text == (await read(undisturbed, request))[0]
    undisturbed.close()
    assert engine_metrics.prefill_tokens > sum(len(request.tokens) for request in requests) + 200


async def test_leaving_in_the_middle_of_a_prefill_frees_the_engine_at_once(engine: AsyncEngine) -> None:
    long = GenerationRequest(chat(engine, "word " * 3000), GREEDY, 10)
    generation = engine.submit(long)
    short = GenerationRequest(chat(engine, "Hi"), GREEDY, 1)
    # the first of several chunks; behind it the long prompt is in the middle of its prefill
    await read(engine, short)
    started = time.monotonic()
    await generation.aclose()
    engine.check_integrity()
    assert time.monotonic() - started < 1.5
    assert 0 < engine.metrics.prefill_tokens < len(long.tokens)


async def test_memory_is_whole_after_a_random_workload(engine: AsyncEngine) -> None:
    rng = np.random.default_rng(5)

    async def client(i: int) -> None:
        question = QUESTIONS[i % 4] + " Please." * int(rng.integers(0, 30))
        generation = engine.submit(GenerationRequest(chat(engine, question), GREEDY, int(rng.integers(1, 20))))
        n_wanted = int(rng.integers(0, 12))
        async for _ in generation:
            n_wanted -= 1
            if n_wanted == 0:
                await generation.aclose()

    await asyncio.gather(*(client(i) for i in range(16)))
    engine.check_integrity()


async def test_the_same_seed_gives_the_same_text(engine: AsyncEngine) -> None:
    sampling = SamplingParams(temperature=0.8, top_p=0.95, seed=7)
    request = GenerationRequest(chat(engine, QUESTIONS[1]), sampling, 30)
    assert (await read(engine, request))[0] == (await read(engine, request))[0]


async def test_texts_that_mean_the_same_have_near_vectors_in_company_and_alone(model):
    def open_context():
        return Context(model, n_ctx=512, n_batch=512, n_seq_max=4, n_threads=2, pooling="mean")

    embedder = Embedder(open_context, n_batch=512, n_seq_max=4, n_queue=4)
    try:
        texts = [
            "The cat sleeps on the sofa.",
            "A kitten naps on the couch.",
            "The stock market fell by three percent.",
        ]
        tokens = [tuple(model.vocabulary.tokenize(text.encode(), parse_special=False)) for text in texts]
        cat, kitten, market = await embedder.embed(tokens)
        alone = [(await embedder.embed([each]))[0] for each in tokens]
    finally:
        embedder.close()
    assert cat.shape == (model.n_embd,)
    assert cat @ kitten > max(cat @ market, kitten @ market)
    for one, other in zip((cat, kitten, market), alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
