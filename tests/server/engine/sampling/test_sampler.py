from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.sampling.sampler import Sampler
from server.engine.types import SamplingParams
from server.errors import EngineError

EMPTY = np.empty(0, dtype=np.int32)


class Allowed:
    """A mask over a fixed set of tokens."""

    def __init__(self, bits: np.ndarray, *, is_accepting: bool = False, end: int = 0) -> None:
        self._bits = bits
        self.is_accepting = is_accepting
        self.end = end
        self.n_masks = 0

    def allows(self, token: int) -> bool:
        return bool(self._bits[token])

    def mask(self) -> np.ndarray:
        self.n_masks += 1
        padded = np.zeros(-(-len(self._bits) // 32) * 32, dtype=bool)
        padded[: len(self._bits)] = self._bits
        return np.packbits(padded, bitorder="little").view(np.uint32)


def distribution(logits: np.ndarray, params: SamplingParams, bits: np.ndarray) -> np.ndarray:
    """The definition by full sorts: masked softmax, then top-k, top-p, min-p, each on what is left."""
    p = np.where(bits, np.exp((logits.astype(np.float64) - logits[bits].max()) / params.temperature), 0.0)
    order = np.argsort(-p, kind="stable")
    if params.top_k:
        p[order[params.top_k :]] = 0.0
    if params.top_p < 1.0:
        sums = np.cumsum(p[order])
        p[order[int(np.searchsorted(sums, params.top_p * sums[-1])) + 1 :]] = 0.0
    p[p < params.min_p * p.max()] = 0.0
    return p / p.sum()


@pytest.mark.parametrize("n_vocab", [40, 5000])
@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0.7, seed=3),
        SamplingParams(top_k=12, seed=3),
        SamplingParams(top_p=0.8, seed=3),
        SamplingParams(min_p=0.1, seed=3),
        SamplingParams(temperature=1.3, top_k=20, top_p=0.9, min_p=0.05, seed=3),
    ],
)
@pytest.mark.parametrize("is_masked", [False, True])
def test_tokens_are_drawn_from_the_filtered_masked_softmax(
    n_vocab: int, params: SamplingParams, is_masked: bool
) -> None:
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=n_vocab) * 3).astype(np.float32)
    bits = rng.random(n_vocab) < 0.3 if is_masked else np.ones(n_vocab, dtype=bool)
    sampler = Sampler(params, EMPTY)
    mask = Allowed(bits) if is_masked else None
    n = 4000
    counts = np.bincount([sampler.sample(logits, mask) for _ in range(n)], minlength=n_vocab)
    expected = distribution(logits, params, bits)
    assert not counts[expected == 0.0].any()
    assert np.abs(counts / n - expected).max() < 0.03


@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_greedy_under_a_mask_is_the_best_allowed_token(seed: int, n_vocab: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=n_vocab).astype(np.float32)
    bits = rng.random(n_vocab) < 0.5
    bits[rng.integers(n_vocab)] = True
    token = Sampler(SamplingParams(temperature=0.0), EMPTY).sample(logits, Allowed(bits))
    assert token == int(np.where(bits, logits, -np.inf).argmax())


def test_greedy_asks_for_the_whole_mask_only_after_a_miss() -> None:
    logits = np.array([1.0, 3.0, 2.0], dtype=np.float32)
    mask = Allowed(np.array([True, True, False]))
    sampler = Sampler(SamplingParams(temperature=0.0), EMPTY)
    assert sampler.sample(logits, mask) == 1
    assert mask.n_masks == 0
    logits[2] = 9.0
    assert sampler.sample(logits, mask) == 1
    assert mask.n_masks == 1


@given(st.integers(0, 2**63 - 1))
def test_the_same_seed_gives_the_same_tokens(seed: int) -> None:
    logits = np.random.default_rng(1).normal(size=200).astype(np.float32)
    params = SamplingParams(temperature=1.5, seed=seed)
    first, second = Sampler(params, EMPTY), Sampler(params, EMPTY)
    assert [first.sample(logits, None) for _ in range(8)] == [second.sample(logits, None) for _ in range(8)]


def test_penalties_follow_their_definitions() -> None:
    logits = np.array([2.0, -1.0, 0.5, 0.0], dtype=np.float32)
    params = SamplingParams(
        temperature=0.0,
        repetition_penalty=2.0,
        presence_penalty=0.25,
        frequency_penalty=0.5,
        logit_bias={3: 7.0},
    )
    sampler = Sampler(params, np.array([1], dtype=np.int32))
    sampler.record([0, 0])
    row = sampler._penalised(logits)
    assert row.tolist() == [2.0 / 2 - 0.25 - 2 * 0.5, -1.0 * 2, 0.5, 7.0]
    assert logits.tolist() == [2.0, -1.0, 0.5, 0.0]


def test_the_repetition_penalty_sees_only_the_end_of_the_prompt() -> None:
    prompt = np.arange(100, dtype=np.int32)
    row = Sampler(SamplingParams(repetition_penalty=2.0), prompt)._penalised(np.ones(100, dtype=np.float32))
    assert np.flatnonzero(row != 1.0).tolist() == list(range(36, 100))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_numbers_are_an_error_and_not_a_token(bad: float) -> None:
    logits = np.array([0.0, bad], dtype=np.float32)
    with pytest.raises(EngineError, match="not finite"):
        Sampler(SamplingParams(), EMPTY).sample(logits, None)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_mask_without_tokens_is_an_error_of_this_sequence(temperature: float) -> None:
    mask = Allowed(np.zeros(3, dtype=bool))
    with pytest.raises(EngineError, match="allows no token"):
        Sampler(SamplingParams(temperature=temperature), EMPTY).sample(np.zeros(3, dtype=np.float32), mask)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_complete_grammar_ends_where_the_model_wants_what_it_excludes(temperature) -> None:
    logits = np.full(100, -30.0, dtype=np.float32)
    logits[[7, 8]] = 9.0, 4.0  # 7 is wanted; 8 is the best of what is allowed
    bits = np.zeros(100, dtype=bool)
    bits[[8, 3]] = True
    sampler = Sampler(SamplingParams(temperature=temperature, top_k=1, seed=1), np.empty(0, dtype=np.int32))
    assert sampler.sample(logits, Allowed(bits)) == 8
    assert sampler.sample(logits, Allowed(bits, is_accepting=True, end=3)) == 3
    bits[7] = True
    assert sampler.sample(logits, Allowed(bits, is_accepting=True, end=3)) == 7


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_mask_is_made_where_the_text_may_end(temperature: float) -> None:
    # Free text under `auto` is such a place: a mask there looks at the whole vocabulary.
    mask = Allowed(np.ones(100, dtype=bool), is_accepting=True, end=3)
    Sampler(SamplingParams(temperature=temperature, top_p=0.9, seed=1), EMPTY).sample(np.arange(100, dtype="f4"), mask)
    assert mask.n_masks == 0


@pytest.mark.parametrize("smallest", [5e-324, 1e-45, 1e-40])
def test_numbers_too_small_to_divide_by_mean_what_small_ones_do(smallest: float) -> None:
    logits = np.array([1.0, 3.0, -2.0, 2.5], dtype=np.float32)
    seen = np.array([0, 2], dtype=np.int32)
    for mask in (None, Allowed(np.ones(4, dtype=np.bool_))):
        cold = Sampler(SamplingParams(temperature=smallest, seed=1), EMPTY)
        assert cold.sample(logits, mask) == 1
        for temperature in (0.0, 1.0):
            params = SamplingParams(temperature=temperature, repetition_penalty=smallest, seed=1)
            assert Sampler(params, seen).sample(logits, mask) == 0
