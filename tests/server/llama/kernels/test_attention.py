"""Attention of few rows over many cells, the one kernel of our own, against llama.cpp's plain attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tiny_gguf

pytest.importorskip("llama_cpp", reason="the bindings are not built")

from server.llama.batch import Batch
from server.llama.context import Context, DecodeStatus
from server.llama.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

DEPTHS = (170, 251)  # cells of two sequences, more than 256: neither ends with a tile of 64
ROWS = (1, 2, 3, 7, 16, 17, 33, 64, 65, 100)


@pytest.fixture(scope="module", params=[4, 2, 1])
def grouped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path: Path = tmp_path_factory.mktemp("model") / "grouped.gguf"
    with Model(tiny_gguf.write_tiny_gguf(path, n_kv_head=request.param)) as model:
        yield model


def decode(context: Context, batch: Batch, runs: Sequence[tuple[Sequence[int], int, int]]) -> np.ndarray:
    """The logits of the last token of each (tokens, start, sequence)."""
    batch.clear()
    for tokens, start, seq in runs:
        batch.add(tokens, start, seq, wants_logits=True)
    assert context.decode(batch) is DecodeStatus.OK
    return context.rows.copy()


def logits_after_two_sequences(model: Model, flash_attn: str, n_threads: int) -> list[np.ndarray]:
    tokens = np.random.default_rng(0).integers(3, 259, 512)
    with Context(model, n_ctx=768, n_batch=256, n_seq_max=4, n_threads=n_threads, flash_attn=flash_attn) as context:
        batch = Batch(256, 4, context.n_vocab)
        found = []
        for seq, depth in enumerate(DEPTHS):
            found.append(decode(context, batch, [(tokens[seq : seq + depth], 0, seq)]))
        for n in ROWS:
            runs = [(tokens[:n], DEPTHS[0], 0), (tokens[5:8], DEPTHS[1], 1)]
            found.append(decode(context, batch, runs))
            for seq, depth in enumerate(DEPTHS):
                context.seq_rm(seq, depth)
        batch.close()
    return found


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_any_number_of_rows_of_two_sequences_sees_what_plain_attention_sees(grouped: Model, n_threads: int) -> None:
    ours = logits_after_two_sequences(grouped, "on", n_threads)
    plain = logits_after_two_sequences(grouped, "off", n_threads)

    for here, there in zip(ours, plain, strict=True):
        assert np.abs(here - there).max() < 0.01 * np.abs(there).max()


@pytest.mark.native
def test_a_row_gets_the_same_bits_in_any_company_and_after_any_chunks_beyond_512_cells(smollm2_path: Path) -> None:
    tokens = np.random.default_rng(0).integers(100, 20_000, 900)
    answers = []
    with Model(smollm2_path) as model:
        for chunk in (200, 96, 7):
            with Context(model, n_ctx=1024, n_batch=512, n_seq_max=4, n_threads=2, flash_attn="on") as context:
                batch = Batch(512, 4, context.n_vocab)
                decode(context, batch, [(tokens[:500], 0, 0)])
                for start in range(500, 700, chunk):
                    decode(context, batch, [(tokens[start : min(start + chunk, 700)], start, 0)])
                decode(context, batch, [(tokens[:90], 0, 1)])
                for other in (0, 1, 5, 40):
                    company = [(tokens[90 : 90 + other], 90, 1)] if other else []
                    # The row comes first: so its own key and value are in the same cell each time.
                    answers.append(decode(context, batch, [(tokens[700:701], 700, 0), *company])[0])
                    context.seq_rm(0, 700)
                    context.seq_rm(1, 90)
                batch.close()

    assert all(np.array_equal(answer, answers[0]) for answer in answers)
