"""An offset that decides what an answer is commits it to a grammar."""

from __future__ import annotations

import itertools

import numpy as np
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from server.engine.decision import Decision
from server.engine.engine import Engine
from server.engine.sampling.constraint import GrammarCompiler
from server.engine.types import GenerationRequest, SamplingParams

VOCABULARY = ByteVocabulary()
COMPILER = GrammarCompiler(VOCABULARY)
GREEDY = SamplingParams(temperature=0.0)
CALL = COMPILER.compile('start: "(call " /[0-9]{2}/ ")"')
BLANK = frozenset(b"\n")


def answer(decision, likes, *, lark=r"start: /(.|\n)*/"):
    """The text of a model that likes some characters so much and all others less."""
    favour = np.full(len(VOCABULARY.pieces), -100.0, dtype=np.float32)
    for character, value in likes.items():
        favour[ord(character)] = value
    clock = itertools.count()
    runner = FakeRunner(n_vocab=len(VOCABULARY.pieces), favour=lambda _: favour)
    engine = Engine(runner, VOCABULARY, n_parallel=1, now=lambda: float(next(clock)))
    request = GenerationRequest(tuple(b"hi"), GREEDY, 12, (), COMPILER.compile(lark), decision)
    engine.add(request)
    text = ""
    while engine.has_work:
        for delivery in engine.step():
            assert not isinstance(delivery.item, Exception), delivery.item
            text += delivery.item.text
    return text


def test_an_offset_that_turns_the_choice_commits_the_answer_and_a_smaller_one_changes_nothing():
    likes = {"a": 30.0, "[": 0.0, "0": 20.0}
    assert answer(Decision((ord("["),), 10.0, commitment=CALL), likes) == "a" * 12
    assert answer(Decision((ord("["),), 60.0, commitment=CALL), likes) == "(call 00)"


def test_without_a_commitment_only_the_first_token_is_turned():
    assert answer(Decision((ord("["),), 60.0), {"a": 30.0, "[": 0.0}) == "[" + "a" * 11


def test_a_token_of_the_decision_means_nothing_after_it():
    likes = {"a": 30.0, "[": 0.0}
    assert answer(Decision((ord("a"),), -60.0, commitment=CALL), likes) == "[" + "a" * 11


def test_a_commitment_follows_what_was_generated_where_it_allows_that_and_else_begins_there():
    likes = {"\n": 30.0, "[": 0.0}
    two_breaks = r"start: /\n{2}[^\n]+/"
    for lark, expected in ((r'start: /\n{2}/ "y"', "\n\ny"), ('start: "x"', "\n\nx")):
        decision = Decision((ord("["),), 1.0, BLANK, commitment=COMPILER.compile(lark))
        assert answer(decision, likes, lark=two_breaks) == expected


def test_a_request_can_be_submitted_again():
    decision = Decision((ord("["),), 60.0, commitment=CALL)
    for _ in range(2):
        assert answer(decision, {"a": 30.0, "[": 0.0, "1": 20.0}) == "(call 11)"
