"""Attention, a kernel of our own: against llama.cpp's plain attention, and against itself in other places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from ggufs import tiny_gguf

pytest.importorskip("llama_cpp", reason="the bindings are not built")

from quantizer.model.inventory import read_inventory
from quantizer.planning.plan import make_plan
from quantizer.planning.recipe_file import find_recipes
from quantizer.quantize import quantize
from server.llama.batch import Batch
from server.llama.context import Context, DecodeStatus
from server.llama.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

DEPTHS = (170, 251)  # cells of two sequences, more than 256: neither ends with a tile of 64
ROWS = (1, 2, 3, 7, 16, 17, 33, 64, 65, 100)


@pytest.fixture(scope="module", params=[4, 2, 1])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf", n_kv_head=request.param)


@pytest.fixture(scope="module")
def grouped(path: Path) -> Iterator[Model]:
    with Model(path) as model:
        yield model


@pytest.fixture(scope="module")
def quantized(path: Path) -> Iterator[Model]:
    """The same in Q8_0: ggml's products of plain numbers depend on the number of rows, ours of blocks do not."""
    plan = make_plan(find_recipes("Q8_0")[0], read_inventory(path))
    (made,) = quantize(plan, path.with_name("quantized.gguf")).paths
    with Model(made) as model:
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


def scattered(context: Context, batch: Batch, tokens: np.ndarray, rng: np.random.Generator) -> None:
    """Evaluates `tokens` as sequence 0, in pieces whose cells lie between those of others and where others were."""
    start, n_other = 0, [0, 0]
    while start < len(tokens):
        n = int(rng.integers(1, 60))
        seq = int(rng.integers(1, 3))
        if n_other[seq - 1] > 40:
            context.seq_rm(seq, 0)
            n_other[seq - 1] = 0
        other = tokens[: int(rng.integers(1, 30))]
        decode(context, batch, [(other, n_other[seq - 1], seq), (tokens[start : start + n], start, 0)])
        n_other[seq - 1] += len(other)
        start += n


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_row_gets_the_same_bits_wherever_its_cells_lie_and_on_any_number_of_threads(
    quantized: Model, seed: int, n_threads: int
) -> None:
    tokens = np.random.default_rng(0).integers(3, 259, 701)
    with (
        Context(quantized, n_ctx=1024, n_batch=512, n_seq_max=4, n_threads=1, flash_attn="on") as alone,
        Context(quantized, n_ctx=1024, n_batch=512, n_seq_max=4, n_threads=n_threads, flash_attn="on") as busy,
    ):
        batch = Batch(512, 4, alone.n_vocab)
        decode(alone, batch, [(tokens[:400], 0, 0)])
        decode(alone, batch, [(tokens[400:700], 400, 0)])
        expected = decode(alone, batch, [(tokens[700:], 700, 0)])[0]

        scattered(busy, batch, tokens[:700], np.random.default_rng(seed))
        found = decode(busy, batch, [(tokens[:5], 0, 3), (tokens[700:], 700, 0)])[-1]
        batch.close()

    assert np.array_equal(found, expected)


def test_sums_of_whole_numbers_lose_nothing_to_speak_of(grouped: Model) -> None:
    tokens = np.random.default_rng(0).integers(3, 259, 600)
    with (
        Context(grouped, n_ctx=1024, n_batch=600, n_seq_max=1, n_threads=2, flash_attn="on") as ours,
        Context(grouped, n_ctx=1024, n_batch=600, n_seq_max=1, n_threads=2, flash_attn="off") as plain,
    ):
        batch = Batch(600, 1, ours.n_vocab)
        here = decode(ours, batch, [(tokens, 0, 0)])
        there = decode(plain, batch, [(tokens, 0, 0)])
        batch.close()
    assert np.abs(here - there).mean() < 0.001 * np.abs(there).mean()


@pytest.mark.native
def test_a_row_gets_the_same_bits_in_any_company_and_after_any_chunks(smollm2_path: Path) -> None:
    tokens = np.random.default_rng(0).integers(100, 20_000, 900)
    answers = []
    with Model(smollm2_path) as model:
        for chunk, n_threads in ((200, 2), (96, 1), (7, 3)):
            with Context(model, n_ctx=1024, n_batch=512, n_seq_max=4, n_threads=n_threads, flash_attn="on") as context:
                batch = Batch(512, 4, context.n_vocab)
                decode(context, batch, [(tokens[:500], 0, 0)])
                decode(context, batch, [(tokens[:90], 0, 1)])
                for start in range(500, 700, chunk):
                    decode(context, batch, [(tokens[start : min(start + chunk, 700)], start, 0)])
                for other in (0, 1, 5, 40):
                    company = [(tokens[90 : 90 + other], 90, 1)] if other else []
                    answers.append(decode(context, batch, [*company, (tokens[700:701], 700, 0)])[-1])
                    context.seq_rm(0, 700)
                    context.seq_rm(1, 90)
                batch.close()

    assert all(np.array_equal(answer, answers[0]) for answer in answers)
