from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizer.calibration.chunks import Chunks, chunk_text
from quantizer.errors import DataError
from quantizer.imatrix.collect import Collector
from quantizer.native.graph import Product


def vocabulary(bos=None):
    """One token a byte."""
    return SimpleNamespace(tokenize_document=lambda data, **_: list(data), bos_token=bos)


@given(length=st.integers(8, 300), n_ctx=st.integers(4, 40))
def test_chunks_are_the_texts_whole_ones_in_order(length, n_ctx):
    text = "".join(chr(97 + i % 26) for i in range(length))
    if length < 2 * n_ctx:
        with pytest.raises(DataError, match="tokens"):
            chunk_text(vocabulary(), text, n_ctx=n_ctx)
        return
    chunks = chunk_text(vocabulary(), text, n_ctx=n_ctx)
    assert chunks.n_chunk == length // n_ctx
    assert bytes(chunks.tokens.ravel().tolist()).decode() == text[: chunks.n_chunk * n_ctx]


def test_the_second_half_of_a_chunk_is_scored_but_its_last_token_predicts_nothing():
    chunks = Chunks(np.arange(512, dtype=np.int32)[None], bos=None)
    assert (chunks.first_scored, chunks.n_scored) == (256, 255)
    assert chunks.targets(0).tolist() == list(range(257, 512))


def test_the_first_token_of_each_chunk_is_replaced_where_the_model_begins_texts():
    chunks = chunk_text(vocabulary(bos=1), "abcdefgh", n_ctx=4)
    assert chunks.evaluated(1).tolist() == [1, *b"fgh"]
    assert chunks.tokens[1].tolist() == [*b"efgh"]


def test_the_key_tells_texts_and_settings_apart():
    keys = {
        chunk_text(vocabulary(), "abcdefghijkl", n_ctx=4).key,
        chunk_text(vocabulary(), "abcdefghijkl", n_ctx=4, max_chunks=2).key,
        chunk_text(vocabulary(bos=1), "abcdefghijkl", n_ctx=4).key,
        chunk_text(vocabulary(), "abcdefghijkl", n_ctx=6).key,
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("text", "options"), [("x" * 99, {"n_ctx": 3}), ("x" * 99, {"n_ctx": 8, "max_chunks": 0}), ("\ud800", {})]
)
def test_what_cannot_be_cut_is_refused(text, options):
    with pytest.raises(DataError):
        chunk_text(vocabulary(), text, **options)


@given(seed=st.integers(0, 10_000), n_used=st.integers(1, 3), has_one_input=st.booleans())
def test_experts_get_the_rows_that_were_routed_to_them(seed, n_used, has_one_input):
    """Against the loop of llama-imatrix: token by token, expert by expert."""
    rng = np.random.default_rng(seed)
    n_tokens, n_in, n_experts = 7, 5, 4
    inputs = rng.normal(size=(n_tokens, 1 if has_one_input else n_used, n_in)).astype(np.float32)
    experts = np.stack([rng.permutation(n_experts)[:n_used] for _ in range(n_tokens)]).astype(np.int32)
    collector = Collector()
    collector.visit(Product("blk.0.ffn_up_exps.weight", inputs[None], (1, n_experts), experts, 1))
    sums, counts = np.zeros((n_experts, n_in)), np.zeros(n_experts, dtype=int)
    for token in range(n_tokens):
        for used in range(n_used):
            sums[experts[token, used]] += inputs[token, used % inputs.shape[1]].astype(float) ** 2
            counts[experts[token, used]] += 1
    (entry,) = collector.imatrix([], 1, n_tokens).entries.values()
    np.testing.assert_allclose(entry.sums, sums, rtol=1e-6)
    np.testing.assert_array_equal(entry.counts, counts)


def test_inputs_that_are_not_finite_are_refused():
    from quantizer.errors import NativeError

    inputs = np.full((1, 1, 20, 4), np.inf, dtype=np.float32)
    with pytest.raises(NativeError, match="not finite"):
        Collector().visit(Product("blk.0.attn_q.weight", inputs, (1, 1), None, 1))
