"""The decision to call: which tokens it offsets, and when."""

import numpy as np
from byte_vocabulary import ByteVocabulary

from server.chat.decisions.beginnings import DecisionTokens
from server.engine.decision import Decision, OpenDecision
from server.engine.sampling.sampler import Sampler
from server.engine.types import SamplingParams

VOCABULARY = ByteVocabulary()
GREEDY = SamplingParams(temperature=0.0)
NOTHING = np.empty(0, dtype=np.int32)


def decision(*beginnings, offset=5.0):
    return DecisionTokens(VOCABULARY, "</think>").decision(beginnings, offset)


def test_the_tokens_of_a_decision_are_those_that_a_call_may_begin_with():
    tokens = decision('<tool_call>\n{"name": "f"', "{").tokens
    assert set(tokens) == {VOCABULARY.special["<tool_call>"], ord("<"), ord("{")}


def test_a_token_with_which_words_begin_as_well_decides_nothing():
    tokens = DecisionTokens(VOCABULARY, None).decision(("add\n", "get\n"), 5.0, text_start="all\n").tokens
    assert set(tokens) == {ord("g")}


def test_an_offset_turns_the_first_token_and_no_later_one():
    logits = np.zeros(len(VOCABULARY.pieces), dtype=np.float32)
    logits[ord("A")] = 3.0
    sampler, one = Sampler(GREEDY, NOTHING), OpenDecision(decision("{"))
    assert sampler.sample(logits, None, one) == ord("{")
    one.record([ord("{")])
    assert sampler.sample(logits, None, one) == ord("A")
    assert logits[ord("{")] == 0.0


def test_white_space_and_the_end_of_a_thought_leave_the_decision_open():
    logits = np.zeros(len(VOCABULARY.pieces), dtype=np.float32)
    logits[ord("A")] = 3.0
    sampler, one = Sampler(GREEDY, NOTHING), OpenDecision(decision("{"))
    one.record([ord("\n")])
    assert sampler.sample(logits, None, one) == ord("{")
    one.record([ord("A"), ord("\n")])
    assert sampler.sample(logits, None, one) == ord("A")
    one.record([VOCABULARY.special["</think>"], ord("\n")])
    assert sampler.sample(logits, None, one) == ord("{")


def test_no_offset_leaves_the_logits_alone():
    logits = np.random.default_rng(1).normal(size=len(VOCABULARY.pieces)).astype(np.float32)
    without = Sampler(GREEDY, NOTHING).sample(logits, None)
    assert Sampler(GREEDY, NOTHING).sample(logits, None, OpenDecision(Decision((1, 2), 0.0))) == without
