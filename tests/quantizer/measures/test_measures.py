"""Collecting and measuring with llama.cpp itself: a tiny random model, and figures of llama.cpp's tools for SmolLM2."""

import json
from pathlib import Path

import numpy as np
import pytest
from ggufs.tiny_gguf import N_EMBD, N_FF, N_LAYER, write_tiny_gguf

from quantizer.calibration import generate_dialogues, shipped_text
from quantizer.calibration.chunks import chunk_text
from quantizer.calibration.model_family import model_family
from quantizer.errors import DataError, NativeError
from quantizer.evaluator import Evaluator
from quantizer.imatrix.collect import Collector, collect, merge
from quantizer.imatrix.file import read_imatrix
from quantizer.measures.calls.decisions import (
    decision_counts,
    expected_decisions,
    forced_calls,
    load_expected,
    measure_decisions,
    save_expected,
)
from quantizer.measures.speed import measure_speed
from quantizer.measures.tasks.candidates import CandidateEvaluator, Candidates, Query, shared_length
from quantizer.measures.text.divergence import measure_divergence
from quantizer.measures.text.perplexity import measure_perplexity
from quantizer.measures.text.reference import ReferenceStore
from quantizer.native.graph import ProductTap
from server.llama.model import Model

pytestmark = pytest.mark.native

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "measures_smollm2.json").read_text())
TEXT = "abc abx plain zz. " * 40


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    with Model(write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")) as model:
        yield model


@pytest.fixture(scope="module")
def smollm2(smollm2_path):
    with Model(smollm2_path) as model:
        yield model


def test_every_weight_of_blocks_and_the_output_is_collected(tiny):
    found = collect(tiny, [("t", chunk_text(tiny.vocabulary, TEXT, n_ctx=64, max_chunks=3))], n_threads=1)
    kinds = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    assert set(found.entries) == {f"blk.{i}.{kind}.weight" for i in range(N_LAYER) for kind in kinds} | {
        "output.weight"
    }
    for name, entry in found.entries.items():
        assert entry.sums.shape == (1, N_FF if "down" in name else N_EMBD)
        assert entry.counts.tolist() == [3 * 64]
        assert (entry.means**2 <= entry.sums * entry.counts * (1 + 1e-6)).all()


def test_the_inputs_of_the_first_layer_are_its_normalised_embeddings(tiny):
    """An independent computation: attn_norm is ones, so q, k and v see x / rms(x) of the embeddings."""
    chunks = chunk_text(tiny.vocabulary, TEXT, n_ctx=64, max_chunks=2)
    found = collect(tiny, [("t", chunks)], n_threads=1)
    table = np.random.default_rng(0).normal(0.0, 0.3, (tiny.n_vocab, N_EMBD)).astype(np.float32)
    x = np.concatenate([table[chunks.evaluated(i)] for i in range(2)]).astype(np.float64)
    x /= np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-5)
    for kind in ("attn_q", "attn_k", "attn_v"):
        entry = found.entries[f"blk.0.{kind}.weight"]
        np.testing.assert_allclose(entry.sums[0], (x**2).sum(axis=0), rtol=1e-5)
        np.testing.assert_allclose(entry.means[0], x.sum(axis=0), rtol=1e-3, atol=1e-3)


def test_a_collection_that_broke_off_goes_on_to_the_same_result(tiny, tmp_path):
    sources = [("t", chunk_text(tiny.vocabulary, TEXT, n_ctx=64, max_chunks=5))]
    whole = collect(tiny, sources, n_threads=1)
    checkpoint = tmp_path / "c.gguf"

    class KilledError(Exception):
        pass

    def die(done, _):
        if done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        collect(tiny, sources, n_threads=1, checkpoint=checkpoint, checkpoint_every=3, progress=die)
    assert read_imatrix(checkpoint).chunk_count == 3
    seen = []
    resumed = collect(
        tiny, sources, n_threads=1, checkpoint=checkpoint, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[0] == (3, 5)
    assert not checkpoint.exists()
    assert resumed.chunk_count == whole.chunk_count
    for name, entry in whole.entries.items():
        np.testing.assert_allclose(resumed.entries[name].sums, entry.sums, rtol=1e-6)
        np.testing.assert_array_equal(resumed.entries[name].counts, entry.counts)


def test_a_checkpoint_of_other_sources_is_refused(tiny, tmp_path):
    from quantizer.imatrix.file import write_imatrix

    checkpoint = tmp_path / "c.gguf"
    chunks = chunk_text(tiny.vocabulary, TEXT, n_ctx=64, max_chunks=2)
    write_imatrix(checkpoint, collect(tiny, [("t", chunks)], n_threads=1))
    with pytest.raises(DataError, match="other sources"):
        collect(tiny, [("t", chunks)], n_threads=1, checkpoint=checkpoint)


def test_sources_add_up(tiny):
    chunks = [chunk_text(tiny.vocabulary, text, n_ctx=64, max_chunks=2) for text in (TEXT, TEXT[7:])]
    one, two = (collect(tiny, [("t", c)], n_threads=1) for c in chunks)
    both = collect(tiny, [("a", chunks[0]), ("b", chunks[1])], n_threads=1)
    merged = merge([one, two])
    assert merged.chunk_count == both.chunk_count == 4
    for name, entry in both.entries.items():
        np.testing.assert_allclose(merged.entries[name].sums, entry.sums, rtol=1e-9)


def test_what_a_visit_raises_stops_the_evaluation_and_is_raised(tiny):
    def visit(product):
        raise NativeError(f"seen {product.weight}")

    tap = ProductTap(Collector.wants, visit)
    with Evaluator(tiny, n_ctx=64, n_outputs=1, n_threads=1, eval_callback=tap.callback) as evaluator:
        evaluator.logits(np.arange(3, 35, dtype=np.int32), slice(31, None))
        with pytest.raises(NativeError, match=r"seen blk\.0\.attn"):
            tap.check()
        tap.check()


def test_a_model_diverges_from_others_and_not_from_itself(tiny, tmp_path):
    chunks = chunk_text(tiny.vocabulary, TEXT, n_ctx=64, max_chunks=3)
    reference = ReferenceStore(tmp_path).get(tiny, chunks, n_threads=1)
    same = measure_divergence(tiny, reference, n_threads=1).estimates()
    assert same["kld"].value == pytest.approx(0, abs=1e-6)
    assert same["same_top"].value == 1
    assert same["ppl"].value == pytest.approx(measure_perplexity(tiny, chunks, n_threads=1).estimate().value, rel=1e-5)
    with Model(write_tiny_gguf(tmp_path / "other.gguf", seed=1)) as other:
        assert measure_divergence(other, reference, n_threads=1).estimates()["kld"].value > 0.1


def test_candidates_are_as_likely_as_whole_texts_say(tiny):
    """Shared beginnings and company change nothing: each answer is that of the sequence alone."""
    rng = np.random.default_rng(4)
    groups = []
    for _ in range(5):
        start = rng.integers(3, 200, 6).tolist()
        sequences = tuple(tuple(start + rng.integers(3, 200, n).tolist()) for n in (3, 5, 1))
        n_shared = shared_length(sequences)
        queries = tuple(
            Query(i, at - 1, sequence[at])
            for i, sequence in enumerate(sequences)
            for at in range(n_shared, len(sequence))
        )
        groups.append(Candidates(sequences, n_shared, queries))
    with CandidateEvaluator(tiny, groups, n_threads=1) as evaluator:
        found = list(evaluator.evaluate(lambda _done, _total: None))
    with Evaluator(tiny, n_ctx=64, n_outputs=64, n_threads=1) as evaluator:
        for group, answers in zip(groups, found, strict=True):
            for query, answer in zip(group.queries, answers, strict=True):
                tokens = np.array(group.sequences[query.sequence], dtype=np.int32)
                logits = evaluator.logits(tokens, slice(None))[query.position].astype(np.float64)
                wanted = logits[query.token] - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
                assert answer == pytest.approx(wanted, abs=1e-3)


@pytest.fixture(scope="module")
def smollm2_in_f16(smollm2_f16):
    """Its products are float sums on every processor.

    Quantized weights meet activations of 8 bits, whose near-ties fall one way with AVX-512 and another with AVX2: 3 %
    of an imatrix's value, 0.4 % of a perplexity.
    """
    with Model(smollm2_f16) as model:
        yield model


def test_the_imatrix_is_llama_imatrixs(smollm2_in_f16):
    """The bounds: activations are rounded to F16, by 2^-11 at most, and other orders of the sums move near-ties of it.

    Through 30 layers that is 2e-4 of a tensor's sum and 2e-3 of a column's between AVX-512 and AVX2.
    """
    chunks = chunk_text(smollm2_in_f16.vocabulary, shipped_text(), n_ctx=128, max_chunks=4)
    found = collect(smollm2_in_f16, [("t", chunks)], n_threads=2)
    assert len(found.entries) == GOLDEN["n_entries"] + 1
    assert "token_embd.weight" in found.entries
    for name, golden in GOLDEN["imatrix"].items():
        sums = found.entries[name].sums[0]
        assert found.entries[name].counts.tolist() == [golden["count"]]
        assert sums.sum() == pytest.approx(golden["total"], rel=5e-3)
        assert int(sums.argmax()) == golden["largest"]
        assert sums.max() == pytest.approx(golden["largest_sum"], rel=5e-3)
        assert sums[:4].tolist() == pytest.approx(golden["first"], rel=2e-2)


def test_the_perplexity_is_llama_perplexitys(smollm2_in_f16):
    """Between AVX-512 and AVX2 it differs by 2e-4, for the same reason."""
    chunks = chunk_text(smollm2_in_f16.vocabulary, shipped_text(), n_ctx=128, max_chunks=4)
    found = measure_perplexity(smollm2_in_f16, chunks, n_threads=2).estimate()
    assert found.value == pytest.approx(GOLDEN["ppl"], rel=2e-3)
    assert found.token_error == pytest.approx(GOLDEN["ppl_error"], rel=5e-3)


def test_decisions_are_few_and_a_model_agrees_with_itself(smollm2, tmp_path):
    with model_family(smollm2) as family:
        calls = forced_calls(smollm2, family, generate_dialogues(2, seed=3))
    counts = decision_counts(calls)
    assert 0 < counts["decisions"] < counts["tokens"]
    for call in calls:
        assert all(token in ids for token, ids in zip(call.call, call.allowed, strict=True))
    path = tmp_path / "d.npz"
    save_expected(path, expected_decisions(smollm2, calls, n_threads=2))
    found = measure_decisions(smollm2, calls, load_expected(path), n_threads=2).estimates()
    assert found["decision_kld"].value == pytest.approx(0, abs=1e-4)
    assert found["decision_same_top"].value == 1


def test_speed_is_measured_in_a_process_of_its_own(tmp_path):
    found = measure_speed(write_tiny_gguf(tmp_path / "tiny.gguf"), n_threads=1, n_prompt=32, n_decode=4, repetitions=1)
    assert min(found.prefill, found.decode) > 0
    assert 1e6 < found.peak_bytes < 2e9


def test_the_speed_of_what_is_no_model_is_an_error_in_the_childs_words(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"no")
    with pytest.raises(NativeError, match="not a GGUF file"):
        measure_speed(tmp_path / "x.gguf", n_threads=1)
