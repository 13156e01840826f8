"""What a request expects to be written: drafted from, and never more than a guess."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from server.engine.engine import Engine
from server.engine.sampling.constraint import GrammarCompiler
from server.engine.types import GenerationRequest, SamplingParams

VOCABULARY = ByteVocabulary()


def answer(request):
    """The text of a request alone in an engine, and what it cost."""
    clock, text, usage = itertools.count(), "", None
    engine = Engine(FakeRunner(n_vocab=262), VOCABULARY, n_parallel=1, now=lambda: next(clock) * 0.05)
    engine.add(request)
    while engine.has_work:
        for delivery in engine.step():
            text, usage = text + delivery.item.text, delivery.item.usage
    return text, usage


@pytest.mark.parametrize("changed", [0, 1])
def test_what_a_request_expects_changes_no_answer_and_saves_steps(changed):
    constraint = GrammarCompiler(VOCABULARY).compile("start: /[a-z ]{48}/")
    plain = GenerationRequest(tuple(b"Edit this: "), SamplingParams(temperature=0.0), 48, constraint=constraint)
    alone, cost = answer(plain)
    expected = [*alone.encode()]
    expected[20] += changed
    text, usage = answer(dataclasses.replace(plain, expected=tuple(expected)))
    assert text == alone
    assert usage.decode_steps < cost.decode_steps / 2
    assert usage.expected > 24
    assert (usage.unexpected > 0) is bool(changed)
    assert (cost.expected, cost.unexpected) == (0, 0)
