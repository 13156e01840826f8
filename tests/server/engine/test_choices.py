"""The tokens of an answer, told beside its text: what is told changes nothing, and depends on nobody else."""

from __future__ import annotations

import itertools
import math

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from server.engine.decision import Decision
from server.engine.engine import Engine
from server.engine.sampling.constraint import GrammarCompiler
from server.engine.types import GenerationRequest, SamplingParams

VOCABULARY = ByteVocabulary()
COMPILER = GrammarCompiler(VOCABULARY)
GREEDY = SamplingParams(temperature=0.0)
WARM = SamplingParams(seed=7)
LARKS = (
    None,
    r"start: /(.|\n)*/",
    r'start: "<" /[a-z]{3}/ ">" ("," /[a-z]/)*',
    r'start: "é" /[a-zé]{2}/ "日"',
)


def run(*requests, n_draft=8, **settings):
    """Text and tokens of each request, all in one engine."""
    clock = itertools.count()
    runner = FakeRunner(n_vocab=len(VOCABULARY.pieces), **settings)
    engine = Engine(runner, VOCABULARY, n_parallel=4, n_draft=n_draft, now=lambda: float(next(clock)))
    sequences = [engine.add(request) for request in requests]
    found = {sequence.id: ("", ()) for sequence in sequences}
    while engine.has_work:
        for delivery in engine.step():
            assert not isinstance(delivery.item, Exception), delivery.item
            text, choices = found[delivery.sequence.id]
            found[delivery.sequence.id] = (text + delivery.item.text, choices + delivery.item.choices)
    return [found[sequence.id] for sequence in sequences]


def request(lark, prompt=b"hi", sampling=GREEDY, n_others=4, **fields):
    constraint = None if lark is None else COMPILER.compile(lark)
    return GenerationRequest(tuple(prompt), sampling, 24, constraint=constraint, n_others=n_others, **fields)


@pytest.mark.parametrize("lark", LARKS)
@pytest.mark.parametrize("sampling", [GREEDY, WARM], ids=["greedy", "warm"])
def test_an_answer_is_the_same_with_its_tokens_and_without(lark, sampling):
    ((told, choices),) = run(request(lark, sampling=sampling))
    ((untold, nothing),) = run(request(lark, sampling=sampling, n_others=None))
    assert told == untold
    assert nothing == ()
    assert choices


@pytest.mark.parametrize("lark", LARKS)
def test_the_tokens_spell_the_text_and_stand_where_it_has_them(lark):
    ((text, choices),) = run(request(lark))
    assert b"".join(choice.piece for choice in choices).decode("utf-8", "replace") == text
    assert [choice.start for choice in choices] == sorted(choice.start for choice in choices)
    for i, choice in enumerate(choices):
        before = b"".join(other.piece for other in choices[:i])
        assert text[: choice.start] == before.decode("utf-8", "ignore") or "\ufffd" in text


def test_probabilities_add_up_to_one_at_most_and_forced_tokens_were_certain():
    for lark in LARKS:
        ((_, choices),) = run(request(lark))
        for choice in choices:
            total = math.exp(choice.logprob) + sum(math.exp(other.logprob) for other in choice.others)
            assert 0.0 < total <= 1.0 + 1e-5
            assert not choice.is_forced or (choice.logprob == 0.0 and choice.others == ())
    assert any(choice.is_forced for choice in choices)


def test_what_is_told_does_not_depend_on_company_nor_on_drafts():
    requests = [request(lark, prompt) for lark in LARKS for prompt in (b"hi", b"ho")]
    alone = [run(one, n_draft=0, order=3)[0] for one in requests]
    assert run(*requests[:4], order=3) + run(*requests[4:], order=3) == alone


def test_a_decision_tells_how_likely_a_call_is_until_it_is_made():
    tokens = tuple(b"abcdefghijklm")
    decision = Decision(tokens, 0.0, passes=frozenset(b"\n"))
    ((text, choices),) = run(request(r"start: /\n[a-z]+/", decision=decision))
    assert text[:1] == "\n"
    assert [choice.call is not None for choice in choices[:3]] == [False, True, False]
    told = [(choices[1].piece, choices[1].logprob), *((other.piece, other.logprob) for other in choices[1].others)]
    known = sum(math.exp(logprob) for piece, logprob in told if piece in {bytes([token]) for token in tokens})
    assert 0.0 < known <= choices[1].call <= 1.0


def test_a_commitment_keeps_the_probability_of_the_decision():
    call = COMPILER.compile('start: "(" /[0-9]{2}/ ")"')
    decision = Decision(tuple(b"[("), 60.0, commitment=call)
    ((text, choices),) = run(request(r"start: /(.|\n)*/", decision=decision))
    assert text[0] == "("
    assert choices[0].call == pytest.approx(1.0)
    assert choices[0].logprob == 0.0


def test_an_end_that_the_model_prefers_to_what_is_allowed_is_told_as_the_end():
    ((text, choices),) = run(request(r'start: "x" ("y" "z")*'))
    assert text.startswith("x")
    assert choices[-1].is_end
    assert choices[-1].piece == b""
    y = next(math.exp(other.logprob) for other in choices[-1].others if other.piece == b"y")
    assert math.exp(choices[-1].logprob) == pytest.approx(1.0 - y, abs=1e-5)


def test_without_the_mask_the_same_tokens_are_weighed_among_all():
    lark = "start: /[a-e]{8}/"
    ((masked_text, masked),) = run(request(lark))
    ((text, free),) = run(request(lark, weighs_mask=False))
    assert text == masked_text
    chosen = [(one, other) for one, other in zip(free, masked, strict=True) if not one.is_forced]
    assert all(one.logprob < other.logprob for one, other in chosen)
    assert any(other.piece not in {bytes([c]) for c in b"abcde"} for one, _ in chosen for other in one.others)
