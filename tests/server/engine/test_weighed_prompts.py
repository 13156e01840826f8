"""A prompt's own tokens with their probabilities: those that they had when they were generated, whatever goes on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner
from hypothesis import given
from hypothesis import strategies as st

from server.engine.engine import Engine
from server.engine.runner import RunStatus
from server.engine.sampling.weighed_prompt import WeighedPrompt
from server.engine.types import GenerationRequest, SamplingParams

VOCABULARY = ByteVocabulary()
GREEDY = SamplingParams(temperature=0.0)
PROMPTS = st.lists(st.sampled_from([*b"abcdefgh\xc3\xa9", VOCABULARY.eos]), min_size=1, max_size=40).map(tuple)


def run(*requests, **settings):
    """Text, prompt and tokens of each request, all in one engine."""
    clock = itertools.count()
    engine = Engine(
        FakeRunner(n_vocab=len(VOCABULARY.pieces), **settings),
        VOCABULARY,
        n_parallel=4,
        now=lambda: float(next(clock)),
    )
    found = {engine.add(request).id: ("", (), ()) for request in requests}
    while engine.has_work:
        for delivery in engine.step():
            assert not isinstance(delivery.item, Exception), delivery.item
            text, prompt, choices = found[delivery.sequence.id]
            assert not (prompt and delivery.item.prompt), "a prompt is told once"
            assert not (choices and delivery.item.prompt), "a prompt is told before the answer"
            found[delivery.sequence.id] = (
                text + delivery.item.text,
                prompt + delivery.item.prompt,
                choices + delivery.item.choices,
            )
    engine.check_integrity()
    return [*found.values()]


def weighed(prompt, n=1, **fields):
    return GenerationRequest(tuple(prompt), GREEDY, n, n_others=3, weighs_prompt=True, **fields)


@pytest.mark.parametrize("n_batch", [5, 64])
def test_a_prompts_tokens_are_as_likely_as_when_they_were_generated(n_batch):
    ((_, _, choices),) = run(GenerationRequest(tuple(b"hi"), GREEDY, 30, n_others=3), n_batch=n_batch)
    told = [choice for choice in choices if not choice.is_end]
    assert len(told) > 10, "else this shows little"
    answer = [VOCABULARY.pieces.index(choice.piece) for choice in told]
    ((_, prompt, _),) = run(weighed([*b"hi", *answer]), n_batch=n_batch)
    assert [token.piece for token in prompt[2:]] == [choice.piece for choice in told]
    assert [token.is_first for token in prompt] == [True, *[False] * (len(prompt) - 1)]
    assert [token.logprob for token in prompt[2:]] == pytest.approx([choice.logprob for choice in told], abs=1e-5)
    for token, choice in zip(prompt[2:], told, strict=True):
        others = {other.piece for other in choice.others if not other.is_end}
        assert others <= {other.piece for other in token.others}


@given(prompt=PROMPTS)
def test_a_prompts_tokens_stand_where_its_text_has_them(prompt):
    ((_, told, _),) = run(weighed(prompt))
    assert [token.piece for token in told] == [VOCABULARY.pieces[token] for token in prompt]
    for i, token in enumerate(told):
        before = b"".join(other.piece for other in told[:i]).decode("utf-8", "replace")
        assert token.start <= len(before) <= token.start + 1  # a character that is not whole yet is one
        total = math.exp(token.logprob) + sum(math.exp(other.logprob) for other in token.others)
        assert token.is_first or 0.0 < total <= 1.0 + 1e-5


@given(prompts=st.lists(PROMPTS, min_size=2, max_size=5), n_ctx=st.sampled_from([64, 256]))
def test_what_is_told_does_not_depend_on_company_nor_on_memory(prompts, n_ctx):
    requests = [weighed(prompt, 8) for prompt in prompts]
    others = [GenerationRequest(prompt, GREEDY, 8) for prompt in prompts[:2]]
    alone = [run(request, n_ctx=256)[0] for request in requests]
    assert run(*others, *requests, n_ctx=n_ctx)[len(others) :] == alone


def test_a_run_that_is_repeated_weighs_nothing_twice():
    (expected,) = run(weighed(b"abcdefghijklmnopqrstuvwxyz" * 2))
    faults = {2: RunStatus.INTERRUPTED, 3: RunStatus.INTERRUPTED}
    assert run(weighed(b"abcdefghijklmnopqrstuvwxyz" * 2), faults=faults.get) == [expected]


def test_an_answer_is_the_same_behind_a_prompt_that_is_weighed():
    ((told, _, _), (untold, nothing, _)) = run(weighed(b"hi", 20), GenerationRequest(tuple(b"hi"), GREEDY, 20))
    assert told == untold
    assert nothing == ()


def test_a_weighed_prompt_is_nobodys_prefix_and_has_none():
    clock = itertools.count()
    runner = FakeRunner(n_vocab=len(VOCABULARY.pieces))
    engine = Engine(runner, VOCABULARY, n_parallel=4, now=lambda: float(next(clock)))
    prompt = b"abcdefghijklmnopqrstuvwxyz"
    cached = []
    for request in (GenerationRequest(tuple(prompt), GREEDY, 1), weighed(prompt), weighed(prompt + b"!")):
        engine.add(request)
        while engine.has_work:
            cached += [delivery.item.usage.cached for delivery in engine.step() if delivery.is_last]
    assert cached == [0, 0, 0]
    engine.add(GenerationRequest(tuple(prompt + b"!?"), GREEDY, 1))
    while engine.has_work:
        cached += [delivery.item.usage.cached for delivery in engine.step() if delivery.is_last]
    assert cached[-1] == len(prompt), "of the first one, not of the weighed ones, which are longer"


def test_a_row_that_is_not_the_next_ones_is_passed_over():
    pieces = [b"a", b"b", b"c"]
    prompt = WeighedPrompt((0, 1, 2), 1, pieces)
    prompt.weigh(1, np.zeros(3, dtype=np.float32))
    assert prompt.take() == ()
    prompt.weigh(0, np.array([0.0, 1.0, 0.0], dtype=np.float32))
    prompt.weigh(0, np.array([9.0, 0.0, 0.0], dtype=np.float32))
    prompt.weigh(1, np.zeros(3, dtype=np.float32))
    first, second, third = prompt.take()
    assert (first.is_first, first.others) == (True, ())
    assert second.logprob == pytest.approx(1.0 - math.log(math.e + 2.0))
    assert third.logprob == pytest.approx(-math.log(3.0))
    assert prompt.take() == ()
