"""Divergence against a plain float64 computation, by three kinds of references."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logits_writer import write_logits

import quantizer.measures.text.reference
from quantizer.calibration.chunks import Chunks
from quantizer.errors import DataError, FileFormatError
from quantizer.measures.text.divergence import Divergence, compare
from quantizer.measures.text.log_probabilities import RowBlocks, negative_log_likelihood
from quantizer.measures.text.logits_file import LogitsFile
from quantizer.measures.text.reference import ReferenceStore, StoredReference, write_reference
from quantizer.model.hashing import model_sha256

N_CTX, N_VOCAB, N_CHUNK = 16, 61, 3


def random_logits(seed, n=N_CTX // 2 - 1, n_vocab=N_VOCAB):
    return np.random.default_rng(seed).normal(0, 5, (n, n_vocab)).astype(np.float32)


def log_softmax(logits):
    logits = logits.astype(np.float64)
    return (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )


def some_chunks(seed=0):
    tokens = np.random.default_rng(seed).integers(0, N_VOCAB, (N_CHUNK, N_CTX)).astype(np.int32)
    return Chunks(tokens, bos=None)


class FakeEvaluator:
    """Logits that depend on the tokens only."""

    def __init__(self, model, **_):
        self.model = model

    def logits(self, tokens, positions):
        return random_logits(int(tokens.sum()) + self.model.seed, len(range(*positions.indices(len(tokens)))))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(quantizer.measures.text.reference, "Evaluator", FakeEvaluator)
    path = tmp_path / "m.gguf"
    path.write_bytes(b"weights")
    return SimpleNamespace(path=path, n_vocab=N_VOCAB, seed=0, library=SimpleNamespace(build_info=lambda: "build"))


def expected(logits, base, targets):
    log_q, log_p = log_softmax(logits), log_softmax(base)
    kept = np.where(log_p > -16, np.exp(log_p) * (log_p - log_q), 0).sum(1)
    at = np.arange(len(targets)), targets
    return {
        "nll": -log_q[at],
        "nll_base": -log_p[at],
        "kld": kept,
        "delta_p": np.exp(log_q[at]) - np.exp(log_p[at]),
        "same_top": logits.argmax(1) == base.argmax(1),
    }


def check(found, wanted, atol):
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=atol, rtol=1e-4, err_msg=name)


def test_a_stored_reference_is_exact(model, tmp_path):
    chunks, path = some_chunks(), tmp_path / "r.predictions"
    write_reference(path, model, chunks, n_threads=2)
    stored = StoredReference.open(path)
    np.testing.assert_array_equal(stored.chunks.tokens, chunks.tokens)
    for i, chunk in enumerate(stored.read()):
        base, logits = random_logits(int(chunks.tokens[i].sum())), random_logits(100 + i)
        for rows in (slice(0, 3), slice(3, chunks.n_scored)):
            found = compare(logits[rows], chunks.targets(i)[rows], chunk.rows(rows))
            check(found, expected(logits[rows], base[rows], chunks.targets(i)[rows]), atol=2e-6)


def test_a_logits_file_is_exact_to_its_16_bits(tmp_path):
    chunks, path = some_chunks(), tmp_path / "base.logits"
    bases = [random_logits(i) for i in range(N_CHUNK)]
    write_logits(path, chunks, N_VOCAB, bases)
    file = LogitsFile.open(path, bos=None)
    for i, chunk in enumerate(file.read()):
        logits, targets = random_logits(50 + i), chunks.targets(i)
        found = compare(logits, targets, chunk.rows(slice(0, chunks.n_scored)))
        # Tokens more than 16 nats below the likeliest are raised to that: only the others' figures are comparable.
        wanted = expected(logits, bases[i], targets)
        is_near = wanted["nll_base"] < 14
        check(
            {k: v[is_near] for k, v in found.items() if k != "kld"},
            {k: v[is_near] for k, v in wanted.items() if k != "kld"},
            atol=3e-4,
        )
        np.testing.assert_allclose(found["kld"], wanted["kld"], atol=2e-3)


def test_a_logits_file_that_was_cut_is_refused(tmp_path):
    chunks, path = some_chunks(), tmp_path / "base.logits"
    write_logits(path, chunks, N_VOCAB, map(random_logits, range(N_CHUNK)))
    whole = path.read_bytes()
    for length in (0, 7, 12, 19, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            LogitsFile.open(path, bos=None)


def test_a_reference_is_computed_once_and_the_oldest_goes_first(model, tmp_path):
    store = ReferenceStore(tmp_path / "references")
    first = store.get(model, some_chunks(0), n_threads=1)
    stamp = first.path.stat().st_ino
    assert store.get(model, some_chunks(0), n_threads=1).path.stat().st_ino == stamp
    second = store.get(model, some_chunks(1), n_threads=1)
    assert first.path != second.path
    tight = ReferenceStore(tmp_path / "references", max_bytes=int(1.5 * first.path.stat().st_size))
    third = tight.get(model, some_chunks(2), n_threads=1)
    assert sorted(path.name for path in (tmp_path / "references").iterdir()) == [third.path.name]


def test_other_weights_are_another_reference(model, tmp_path):
    store = ReferenceStore(tmp_path / "references")
    first = store.get(model, some_chunks(), n_threads=1).path
    model.path.write_bytes(b"other weights")
    assert store.get(model, some_chunks(), n_threads=1).path != first


def test_a_reference_above_the_bound_is_refused_and_leaves_nothing(model, tmp_path):
    store = ReferenceStore(tmp_path / "references", max_bytes=1000)
    with pytest.raises(DataError, match="fewer chunks"):
        store.get(model, some_chunks(), n_threads=1)
    assert not list((tmp_path / "references").iterdir())


def test_a_damaged_reference_is_refused(model, tmp_path):
    path = tmp_path / "r.predictions"
    write_reference(path, model, some_chunks(), n_threads=1)
    whole = path.read_bytes()
    for length in (0, 9, 20, 100, 300, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match="r\\.predictions"):
            list(StoredReference.open(path).read())


@given(seed=st.integers(0, 10_000))
def test_negative_log_likelihoods_are_those_of_float64(seed):
    logits = random_logits(seed, 9, 40)
    targets = np.random.default_rng(seed).integers(0, 40, 9).astype(np.int32)
    with RowBlocks(2) as blocks:
        found = negative_log_likelihood(logits, targets, blocks)
    np.testing.assert_allclose(found, -log_softmax(logits)[np.arange(9), targets], atol=1e-5)


def test_a_model_compared_with_itself_has_lost_nothing():
    nll = np.random.default_rng(0).random((4, 50)).astype(np.float32)
    zero = np.zeros_like(nll)
    found = Divergence(nll, nll, zero, zero, np.ones_like(nll, dtype=bool)).estimates()
    assert found["kld"].value == found["ln_ratio"].value == found["delta_p_rms"].value == 0
    assert found["rho"].value == pytest.approx(1)
    assert found["same_top"].value == 1
    assert found["ppl"].error > 0


def test_chunks_that_agree_within_have_larger_errors_than_tokens_say():
    nll = np.repeat(np.random.default_rng(0).random((20, 1)), 50, axis=1).astype(np.float32)
    found = Divergence(nll, nll * 0.9, nll, nll, nll > 0.5).estimates()
    assert found["kld"].error > 3 * found["kld"].token_error


def test_one_chunk_has_no_resampled_error():
    nll = np.random.default_rng(0).random((1, 50)).astype(np.float32)
    assert Divergence(nll, nll, nll, nll, nll > 0.5).estimates()["kld"].error is None


def test_what_a_killed_run_left_is_removed_and_what_a_running_one_writes_is_not(model, tmp_path):
    folder = tmp_path / "references"
    folder.mkdir()
    dead, alive = folder / ".x.predictions.4194399.partial", folder / f".x.predictions.{os.getpid()}.partial"
    dead.touch()
    alive.touch()
    kept = ReferenceStore(folder).get(model, some_chunks(), n_threads=1).path
    assert set(folder.iterdir()) == {alive, kept}


def test_a_split_model_is_all_of_its_files(tmp_path):
    parts = [tmp_path / f"m-0000{i}-of-00002.gguf" for i in (1, 2)]
    for part in parts:
        part.write_bytes(b"x")
    before = model_sha256(parts[0])
    parts[1].write_bytes(b"y")
    assert model_sha256(parts[0]) != before
