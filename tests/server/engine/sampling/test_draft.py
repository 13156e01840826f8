"""Drafts change how many evaluations an answer takes, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner
from hypothesis import given
from hypothesis import strategies as st

from server.engine.engine import Engine
from server.engine.sampling.constraint import GrammarCompiler
from server.engine.sampling.draft import CONSTRAINED, FREE, MAX_DRAFT, Drafter
from server.engine.types import GenerationChunk, GenerationRequest, SamplingParams

VOCABULARY = ByteVocabulary()
COMPILER = GrammarCompiler(VOCABULARY)
CALLS = COMPILER.compile('start: ("call(" /[a-c]{1,6}/ "); ")+ "end"')


def tokens(text: str):
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32)


def text_of(draft):
    return bytes(draft.astype(np.uint8)).decode()


def test_a_draft_is_what_followed_the_longest_match_and_of_equals_the_latest():
    drafter = Drafter()
    draft = drafter.find(tokens("xab1 zab2 ab3 zab"), 4)
    assert (text_of(draft.tokens), draft.n_match) == ("2 ab", 4)
    draft = drafter.find(tokens("xab1 yab2 ..ab"), 1)
    assert (text_of(draft.tokens), draft.n_match) == ("2", 2)


def test_nothing_is_drafted_from_nothing():
    for text, n_max in (("abcdefg", 8), ("a", 8), ("abab", 0)):
        draft = Drafter().find(tokens(text), n_max, tokens("xyz"))
        assert (len(draft.tokens), draft.n_match, draft.is_expected) == (0, 0, False)


def test_an_answer_is_drafted_from_its_beginning_by_the_answers_before_it():
    drafter = Drafter()
    first = tokens("Question one?\nA: hello")
    drafter.remember(first, len("Question one?\nA: "))
    draft = drafter.find(tokens("Another question\nA: "), 5)
    assert (text_of(draft.tokens)[: len("hello")], draft.n_match) == ("hello"[:5], 4)


def test_a_draft_never_runs_over_into_another_answer():
    drafter = Drafter()
    drafter.remember(tokens("pqrs"), 1)
    drafter.remember(tokens("tuvw"), 1)
    assert text_of(drafter.find(tokens("..qr"), 8).tokens) == "s"


def test_what_is_expected_wins_over_the_past_where_it_matches_as_well():
    drafter = Drafter()
    drafter.remember(tokens("xab1"), 1)
    draft = drafter.find(tokens("..ab"), 8, tokens("ab2"))
    assert (text_of(draft.tokens), draft.is_expected) == ("2", True)
    draft = drafter.find(tokens(".xab"), 8, tokens("ab2"))
    assert (text_of(draft.tokens), draft.is_expected) == ("1", False)


def propose(drafter, text, n_max, *, row=0.4, kind=FREE, n_sure=1):
    """A draft when a step of one row takes a second and each further one `row`."""
    draft = drafter.find(text, n_max)
    n_match = draft.n_match
    return drafter.worth(draft.tokens, n_match, n_sure, lambda n: n_sure + n * row, kind), n_match


def test_drafts_that_keep_failing_stop_and_are_tried_again_later():
    drafter, text = Drafter(), tokens("abcd abcd ab")
    drafted = []
    for _ in range(200):
        draft, n_match = propose(drafter, text, 4)
        drafted.append(len(draft) > 0)
        if len(draft):
            drafter.learn(n_match, len(draft), 0, FREE)
    assert 2 <= sum(drafted[:20]) <= 5
    assert 1 <= sum(drafted[20:]) <= 20


def test_what_fails_under_no_grammar_may_hold_under_one():
    drafter, text = Drafter(), tokens("abcd abcd ab")
    for _ in range(20):
        drafter.learn(drafter.find(text, 4).n_match, 4, 0, FREE)
    assert len(propose(drafter, text, 4)[0]) == 0
    assert len(propose(drafter, text, 4, kind=CONSTRAINED)[0]) > 0


def test_a_draft_is_as_long_as_its_rows_are_worth_their_time():
    drafter, text = Drafter(), tokens("abcdefghijklmnop abc")
    lengths = [len(propose(drafter, text, 8, row=row)[0]) for row in (0.01, 0.1, 0.3, 0.5, 0.9)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == 8
    assert lengths[-1] == 0


def test_beside_others_a_draft_must_promise_more():
    drafter, text = Drafter(), tokens("abcdefghijklmnop abc")
    assert len(propose(drafter, text, 8, row=0.5)[0]) > 0
    assert len(propose(drafter, text, 8, row=0.9, n_sure=4)[0]) == 0


def test_drafts_that_always_hold_grow_to_their_limit():
    drafter, text = Drafter(), tokens("abcdefghijklmnop abc")
    for _ in range(40):
        draft, n_match = propose(drafter, text, 99)
        drafter.learn(n_match, len(draft), len(draft), FREE)
    assert len(draft) == MAX_DRAFT


def never_ends(_digest):
    row = np.zeros(262, dtype=np.float32)
    row[sorted(VOCABULARY.eog)] = -100.0
    return row


def generate(requests, *, n_draft, order=3, n_ctx=4096, n_parallel=4, favour=None):
    clock = itertools.count()
    runner = FakeRunner(n_ctx=n_ctx, n_slots=8, order=order, favour=favour)
    engine = Engine(runner, VOCABULARY, n_parallel=n_parallel, n_draft=n_draft, now=lambda: next(clock) * 0.05)
    texts, usages = {}, {}
    for request in requests:
        engine.add(request)
    while engine.has_work:
        for delivery in engine.step():
            assert isinstance(delivery.item, GenerationChunk), delivery.item
            key = delivery.sequence.id
            texts[key] = texts.get(key, "") + delivery.item.text
            usages[key] = delivery.item.usage
    engine.check_integrity()
    return [texts[i] for i in sorted(texts)], [usages[i] for i in sorted(usages)], engine.metrics


SAMPLINGS = st.sampled_from(
    [
        SamplingParams(temperature=0.0),
        SamplingParams(temperature=0.7, seed=1),
        SamplingParams(temperature=1.0, top_p=0.3, seed=2, presence_penalty=0.5, repetition_penalty=1.1),
    ]
)
REQUESTS = st.lists(
    st.tuples(st.binary(min_size=1, max_size=80), SAMPLINGS, st.integers(1, 120), st.booleans()), min_size=1, max_size=5
)


@given(drawn=REQUESTS, order=st.integers(1, 3), n_ctx=st.sampled_from([256, 4096]))
def test_the_text_is_the_same_with_drafts_and_without(drawn, order, n_ctx):
    requests = [
        GenerationRequest(tuple(prompt), sampling, n, (), CALLS if constrained else None)
        for prompt, sampling, n, constrained in drawn
    ]
    plain, plain_usage, _ = generate(requests, n_draft=0, order=order, n_ctx=n_ctx)
    drafted, drafted_usage, metrics = generate(requests, n_draft=8, order=order, n_ctx=n_ctx)
    assert drafted == plain
    assert [u.completion for u in drafted_usage] == [u.completion for u in plain_usage]
    assert metrics.accepted_tokens <= metrics.drafted_tokens


def test_an_answer_that_repeats_itself_takes_fewer_evaluations():
    request = GenerationRequest(tuple(b"Once upon a time"), SamplingParams(temperature=0.0), 400)
    _, plain, _ = generate([request], n_draft=0, order=1, favour=never_ends)
    _, drafted, metrics = generate([request], n_draft=8, order=1, favour=never_ends)
    assert plain[0].decode_steps >= 390
    assert drafted[0].decode_steps < 0.5 * plain[0].decode_steps
    assert metrics.accepted_tokens > 0.7 * metrics.drafted_tokens


def test_what_is_drafted_changes_no_probability():
    """A chi-squared test of letters, and of letters after each letter, a quarter of which were guessed ahead."""
    letters, shares = b"abcd", np.array([0.85, 0.1, 0.03, 0.02])

    def favour(_digest):
        row = np.full(262, -10_000.0, dtype=np.float32)
        row[list(letters)] = 100 * np.log(shares)  # of which the runner's own numbers are a hundredth
        return row

    requests = [
        GenerationRequest(tuple(b"aaaa" * 8), SamplingParams(temperature=100.0, seed=seed), 1500) for seed in range(4)
    ]
    texts, _, metrics = generate(requests, n_draft=8, n_ctx=8192, n_parallel=1, favour=favour)
    drawn = np.array([[letters.index(letter) for letter in text.encode()] for text in texts])
    assert metrics.accepted_tokens > 0.25 * drawn.size

    def chi_squared(values):
        expected = shares * len(values)
        return float(((np.bincount(values, minlength=4) - expected) ** 2 / expected).sum())

    limit = 16.27  # the 99.9th percentile for three degrees of freedom
    assert chi_squared(drawn.ravel()) < limit
    for before in range(4):
        assert chi_squared(drawn[:, 1:][drawn[:, :-1] == before]) < limit
