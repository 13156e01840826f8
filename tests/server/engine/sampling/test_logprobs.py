"""What a token was chosen from, against softmax in double precision over sets of Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.sampling.logprobs import Logprobs

EOG = (3, 7)
N_OTHERS = 5


class Allowed:
    """A constraint of one moment."""

    def __init__(self, ids, n_vocab, *, is_accepting=False):
        bits = np.zeros((n_vocab + 31) // 32 * 32, dtype=np.uint8)
        bits[sorted(ids)] = 1
        self._mask = np.packbits(bits, bitorder="little").view(np.uint32)
        self.is_accepting = is_accepting
        self.end = EOG[0]

    def mask(self):
        return self._mask


def expected(row, allowed, *, is_complete):
    """The probability of each token that goes on, and of the end, under None."""
    weights = np.exp(row.astype(np.float64) - row.max())
    going_on = {token for token in range(len(row)) if token not in EOG and (allowed is None or token in allowed)}
    end = sum(weights[token] for token in range(len(row)) if token not in going_on) if is_complete else 0.0
    total = end + sum(weights[token] for token in going_on)
    return {None: end / total, **{token: weights[token] / total for token in going_on}}


@st.composite
def moments(draw):
    n_vocab = draw(st.sampled_from([40, 500, 5000]))
    row = np.random.default_rng(draw(st.integers(0, 1000))).normal(0, draw(st.sampled_from([0.5, 3.0, 9.0])), n_vocab)
    kind = draw(st.sampled_from(["free", "few", "most"]))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    going_on = [token for token in range(n_vocab) if token not in EOG]
    allowed = {"free": None, "few": set(rng.choice(going_on, 4)), "most": set(rng.choice(going_on, n_vocab))}[kind]
    is_complete = kind == "free" or draw(st.booleans())
    return row.astype(np.float32), allowed, is_complete


@given(moments(), st.data())
def test_probabilities_are_those_of_the_masked_softmax(moment, data):
    row, allowed, is_complete = moment
    odds = expected(row, allowed, is_complete=is_complete)
    chosen = data.draw(st.sampled_from([token for token, p in odds.items() if p > 0.0]))
    constraint = None if allowed is None else Allowed(allowed, len(row), is_accepting=is_complete)
    beginnings = np.array([0, 1, 2], dtype=np.intp)
    weighed = Logprobs(N_OTHERS, EOG).weigh(row, constraint, EOG[1] if chosen is None else chosen, beginnings)
    assert math.exp(weighed.logprob) == pytest.approx(odds[chosen], rel=1e-3, abs=1e-5)
    assert weighed.call == pytest.approx(sum(odds.get(token, 0.0) for token in (0, 1, 2)), abs=1e-5)
    others = [(None if token in EOG else token, math.exp(logprob)) for token, logprob in weighed.others]
    assert chosen not in [token for token, _ in others]
    for token, p in others:
        assert p == pytest.approx(odds[token], rel=1e-3, abs=1e-5)
    likeliest = sorted((p for token, p in odds.items() if token != chosen), reverse=True)[:N_OTHERS]
    assert [p for _, p in others] == pytest.approx(likeliest[: len(others)], rel=1e-3, abs=1e-5)
    assert sum(likeliest[len(others) :]) < 1e-5
    assert math.exp(weighed.logprob) + sum(p for _, p in others) <= 1.0 + 1e-5


def test_what_the_model_would_rather_not_write_has_its_digits():
    """The allowed tokens weigh nothing beside the likeliest one, which is not allowed."""
    row = np.zeros(5000, dtype=np.float32)
    row[100] = 90.0
    row[4000] = 2.0
    weighed = Logprobs(2, EOG).weigh(row, Allowed(set(range(4, 5000)) - {100, 7}, 5000), 4000)
    assert math.exp(weighed.logprob) == pytest.approx(math.exp(2) / (math.exp(2) + 4993), rel=1e-6)
    assert len(weighed.others) == 2


def test_one_buffer_serves_rows_of_any_length():
    weigher = Logprobs(1, EOG)
    for n in (100, 5000, 100):
        assert weigher.weigh(np.zeros(n, dtype=np.float32), None, 0).logprob == pytest.approx(-math.log(n), rel=1e-5)
