"""The C boundary on a random model of half a megabyte: everything that would abort the process is an error."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from importlib.metadata import requires
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ggufs import tiny_gguf
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llama_cpp", reason="the bindings are not built")

from server.llama.batch import Batch
from server.llama.context import Context, DecodeStatus
from server.llama.errors import LlamaError, ModelLoadError
from server.llama.library import library
from server.llama.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[Model]:
    with Model(path) as model:
        yield model


@pytest.fixture
def context(model: Model) -> Iterator[Context]:
    with Context(model, n_ctx=256, n_batch=64, n_seq_max=4, n_threads=1) as context:
        yield context


def batch_for(context: Context) -> Batch:
    return Batch(context.n_batch, context.n_seq_max, context.n_vocab)


def decode(context: Context, seq: int, start: int, tokens: list[int]) -> np.ndarray:
    batch = batch_for(context)
    batch.add(tokens, start, seq, wants_logits=True)
    assert context.decode(batch) is DecodeStatus.OK
    row = context.logits(0).copy()
    batch.close()
    return row


def test_a_model_describes_itself(model: Model) -> None:
    assert model.metadata["general.name"] == "tiny"
    assert model.metadata["tokenizer.chat_template"] == tiny_gguf.CHAT_TEMPLATE
    assert len(tiny_gguf.CHAT_TEMPLATE) > 512, "values longer than a first buffer are whole"
    assert model.chat_template == tiny_gguf.CHAT_TEMPLATE
    assert model.n_ctx_train == tiny_gguf.N_CTX
    assert model.n_params > 100_000
    assert model.size_bytes == 4 * model.n_params
    assert "llama" in model.description
    assert not model.is_recurrent
    assert "CPU" in library().system_info()
    (pin,) = (each for each in requires("functiongate") if each.startswith("llama-cpp-python=="))
    assert f"llama-cpp-python {pin.partition('==')[2]}," in library().build_info()


def test_the_products_of_amx_are_not_compiled_in() -> None:
    """ADR 17: they end the process, and a row multiplied by them depends on its company."""
    assert "AMX" not in library().system_info()


def test_pieces_are_bytes_of_any_length(model: Model) -> None:
    pieces = model.vocabulary.pieces
    assert pieces[3:259] == tuple(bytes([i]) for i in range(256))
    assert tiny_gguf.LONG_PIECE.encode() in pieces


def test_markers_are_special_and_plain_words_are_not(model: Model) -> None:
    vocabulary = model.vocabulary
    assert {"<tool_call>", "</tool_call>", "<|im_start|>", "<|im_end|>"} <= set(vocabulary.special)
    assert "plain" not in vocabulary.special
    assert vocabulary.eos in vocabulary.eog
    assert vocabulary.special["<|im_end|>"] in vocabulary.eog
    assert vocabulary.bos == "<s>"


@given(st.text(max_size=60))
def test_text_survives_tokenizing_with_nothing_added(model: Model, text: str) -> None:
    """Also where the vocabulary writes a space in front of every text, and for NUL bytes."""
    vocabulary = model.vocabulary
    for parse_special in (False, True):
        tokens = vocabulary.tokenize(text.encode(), parse_special=parse_special)
        assert b"".join(vocabulary.pieces[token] for token in tokens).decode() == text.replace("▁", " ")


def test_markers_are_tokens_only_when_asked_for(model: Model) -> None:
    """Also user-defined ones, which llama.cpp itself finds in any text."""
    vocabulary = model.vocabulary
    for text, marker in vocabulary.special.items():
        sentence = b"a" + text.encode() + b"b"
        assert marker in vocabulary.tokenize(sentence, parse_special=True)
        plain = vocabulary.tokenize(sentence, parse_special=False)
        assert not set(plain) & set(vocabulary.special.values())
        assert b"".join(vocabulary.pieces[token] for token in plain) == sentence


def test_broken_utf8_is_refused_before_it_reaches_c(model: Model) -> None:
    with pytest.raises(LlamaError, match="UTF-8"):
        model.vocabulary.tokenize(b"\xff", parse_special=False)


def test_a_file_that_is_no_model_is_one_clear_line(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ModelLoadError, match="cannot be read"):
        Model(tmp_path / "missing.gguf")
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelLoadError, match="not a GGUF file"):
        Model(tmp_path / "text.gguf")
    (tmp_path / "half.gguf").write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ModelLoadError, match="damaged"):
        Model(tmp_path / "half.gguf")


def test_progress_goes_from_start_to_end(path: Path) -> None:
    seen: list[float] = []
    Model(path, progress=seen.append).close()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_closing_twice_and_in_the_wrong_order_is_safe(path: Path) -> None:
    model = Model(path)
    context = Context(model, n_ctx=64, n_batch=32, n_threads=1)
    model.close()
    context.close()
    model.close()
    with pytest.raises(LlamaError, match="closed"):
        context.clear()
    with pytest.raises(LlamaError, match="closed"):
        model.vocabulary.tokenize(b"a", parse_special=False)
    assert model.vocabulary.pieces[3] == b"\x00"


def test_a_vocabulary_alone_tokenizes_and_cannot_decode(path: Path) -> None:
    with Model(path, vocab_only=True) as model:
        assert model.vocabulary.tokenize(b"abc", parse_special=False)
        with pytest.raises(LlamaError, match="weights"):
            Context(model, n_ctx=64, n_threads=1)


@pytest.mark.parametrize(
    "sizes", [{"n_ctx": 0}, {"n_seq_max": 0}, {"n_seq_max": 100_000}, {"n_threads": 0}, {"n_batch": 0}]
)
def test_impossible_sizes_are_refused(model: Model, sizes: dict[str, int]) -> None:
    with pytest.raises(LlamaError):
        Context(model, **{"n_ctx": 64, "n_threads": 1, **sizes})


@pytest.mark.parametrize(
    ("tokens", "start", "seq"),
    [([], 0, 0), ([1] * 65, 0, 0), ([1], 0, 4), ([1], 0, -1), ([1], -1, 0), ([100_000], 0, 0), ([-1], 0, 0)],
)
def test_what_would_abort_in_c_never_enters_a_batch(context: Context, tokens: list[int], start: int, seq: int) -> None:
    batch = batch_for(context)
    with pytest.raises(LlamaError):
        batch.add(tokens, start, seq, wants_logits=True)
    assert batch.n_tokens == 0
    with pytest.raises(LlamaError, match="empty"):
        context.decode(batch)
    batch.close()
    batch.close()


def test_positions_that_do_not_follow_are_an_error_and_change_nothing(context: Context) -> None:
    decode(context, 0, 0, [5, 6])
    batch = batch_for(context)
    batch.add([7], 9, 0, wants_logits=True)
    with pytest.raises(LlamaError, match="refused"):
        context.decode(batch)
    assert context.seq_pos_max(0) == 1
    batch.close()


def test_more_rows_of_logits_than_the_context_gives_are_refused(context: Context) -> None:
    batch = batch_for(context)
    batch.add([5] * 8, 0, 0, wants_logits=np.ones(8, dtype=bool))
    with pytest.raises(LlamaError, match="rows"):
        context.decode(batch)
    batch.close()


def test_rows_of_logits_come_in_the_order_they_were_asked_for(model: Model, context: Context) -> None:
    with Context(model, n_ctx=64, n_batch=64, n_threads=1, n_outputs_max=64) as whole:
        batch = batch_for(whole)
        mask = np.array([True, False, True, True])
        batch.add([5, 6, 7, 8], 0, 0, wants_logits=mask)
        whole.decode(batch)
        rows = [whole.logits(i).copy() for i in range(3)]
        with pytest.raises(LlamaError, match="not requested"):
            whole.logits(3)
        batch.close()
    for row, n in zip(rows, (1, 3, 4), strict=True):
        np.testing.assert_allclose(row, decode(context, 0, 0, [5, 6, 7, 8][:n]), atol=1e-4)
        context.clear()


def test_a_shared_prefix_gives_the_logits_of_its_own_prefill(context: Context) -> None:
    prefix, tail = [5, 6, 7, 8, 9], [10, 11]
    expected = decode(context, 0, 0, prefix + tail)
    decode(context, 1, 0, [*prefix, 20, 21])
    context.seq_cp(1, 2, 0, len(prefix))
    assert context.holds(2, 0, len(prefix))
    np.testing.assert_allclose(decode(context, 2, len(prefix), tail), expected, atol=1e-4)
    assert context.seq_rm(1, len(prefix))
    np.testing.assert_allclose(decode(context, 1, len(prefix), tail), expected, atol=1e-4)


def test_a_saved_sequence_is_restored(context: Context) -> None:
    decode(context, 0, 0, [5, 6, 7])
    state = context.state_get(0)
    expected = decode(context, 0, 3, [8])
    assert context.state_set(3, state) == len(state)
    np.testing.assert_allclose(decode(context, 3, 3, [8]), expected, atol=1e-4)
    with pytest.raises(LlamaError, match="cannot be restored"):
        context.state_set(2, state[:40])


def test_full_memory_is_a_status_and_nothing_was_evaluated(context: Context) -> None:
    for seq in range(4):
        decode(context, seq, 0, [5] * 60)
    batch = batch_for(context)
    batch.add([5] * 30, 60, 0, wants_logits=True)
    assert context.decode(batch) is DecodeStatus.NO_KV_SLOT
    assert context.seq_pos_max(0) == 59
    context.seq_rm(3, 0)
    assert context.decode(batch) is DecodeStatus.OK
    batch.close()


def test_an_abort_from_another_thread_stops_a_decode(path: Path) -> None:
    with Model(path) as model, Context(model, n_ctx=512, n_batch=512, n_threads=1) as context:
        batch = batch_for(context)
        batch.add([5] * 512, 0, 0, wants_logits=True)
        context.request_abort()
        assert context.decode(batch) is DecodeStatus.ABORTED
        context.clear_abort()
        assert context.seq_rm(0, 0)
        thread = threading.Thread(target=context.request_abort)
        thread.start()
        status = context.decode(batch)
        thread.join()
        assert status in {DecodeStatus.ABORTED, DecodeStatus.OK}
        context.clear_abort()
        context.seq_rm(0, 0)
        assert context.decode(batch) is DecodeStatus.OK
        batch.close()


def test_the_gil_is_free_during_a_decode(path: Path) -> None:
    with Model(path) as model, Context(model, n_ctx=512, n_batch=512, n_threads=1) as context:
        batch = batch_for(context)
        counted: list[int] = []
        stop = threading.Event()

        def count() -> None:
            n = 0
            while not stop.is_set():
                n += 1
            counted.append(n)

        thread = threading.Thread(target=count)
        thread.start()
        started = time.monotonic()
        for i in range(20):
            context.clear()
            batch.clear()
            batch.add([5 + i] * 512, 0, 0, wants_logits=True)
            context.decode(batch)
        seconds = time.monotonic() - started
        stop.set()
        thread.join()
        assert counted[0] > 1000 * seconds
        batch.close()


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 20), st.sampled_from(["add", "trim", "share", "free"])),
        max_size=25,
    )
)
def test_random_edits_of_memory_agree_with_a_list_of_tokens(
    model: Model, operations: list[tuple[int, int, str]]
) -> None:
    held: dict[int, list[int]] = {seq: [] for seq in range(4)}
    with Context(model, n_ctx=512, n_batch=64, n_seq_max=4, n_threads=1) as context:
        for seq, n, kind in operations:
            match kind:
                case "add" if sum(map(len, held.values())) < 400:
                    tokens = [5 + (seq * 31 + n * 7 + i) % 200 for i in range(n)]
                    decode(context, seq, len(held[seq]), tokens)
                    held[seq] += tokens
                case "trim":
                    assert context.seq_rm(seq, min(n, len(held[seq])))
                    del held[seq][n:]
                case "share":
                    source = (seq + 1) % 4
                    context.seq_rm(seq, 0)
                    context.seq_cp(source, seq, 0, n)
                    held[seq] = held[source][:n]
                case "free":
                    context.seq_rm(seq, 0)
                    held[seq] = []
            assert [context.seq_pos_max(s) + 1 for s in range(4)] == [len(held[s]) for s in range(4)]
        for seq, tokens in held.items():
            if tokens:
                row = decode(context, seq, len(tokens), [3])
                with Context(model, n_ctx=512, n_batch=512, n_seq_max=1, n_threads=1) as fresh:
                    # one wrong token moves a logit by more than 1, F16 memory cut otherwise by 0.02
                    np.testing.assert_allclose(row, decode(fresh, 0, 0, [*tokens, 3]), atol=0.1)


@pytest.mark.parametrize(("setting", "expected"), [("1", platform.machine() in ("x86_64", "AMD64")), ("0", False)])
def test_the_environment_turns_the_kernels_of_our_own_off(setting: str, expected: bool) -> None:
    """And what was computed with them is known by the name of its build: it is rounded otherwise."""
    code = "from server.llama.library import library; print(bool(library().kernels), library().build_info())"
    environment = {**os.environ, "FUNCTIONGATE_KERNELS": setting}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert found.startswith(f"{expected} ")
    assert ("own kernels" in found) == expected
