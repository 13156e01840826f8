"""Products of quantized weights, a kernel of our own, against the same weights as plain numbers."""

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
    from pathlib import Path

ROWS = (1, 2, 3, 4, 5, 7, 8, 11, 64, 97)
N_EMBD, N_FF = 96, 1120  # rows of three blocks; of 35: two chunks of 16 and a rest
WIDE = 256, 1280  # of one block of 256, and of five: two chunks of two and a rest


def make(source: Path, recipe: str, target: Path) -> Path:
    plan = make_plan(find_recipes(recipe)[0], read_inventory(source), allow_requantize=True)
    (path,) = quantize(plan, target).paths
    return path


def first_rows(path: Path, n_threads: int, *, repack: bool = False) -> dict[int, np.ndarray]:
    """The logits of one token, by how many were decoded with it in one batch."""
    tokens = np.random.default_rng(0).integers(3, 259, 128)
    found = {}
    with (
        Model(path, repack=repack) as model,
        Context(model, n_ctx=128, n_batch=128, n_threads=n_threads, n_outputs_max=4) as context,
    ):
        batch = Batch(128, 1, context.n_vocab)
        for n in ROWS:
            batch.clear()
            wanted = np.zeros(n, dtype=bool)
            wanted[:4] = True  # the last layer is computed for the rows that are wanted
            batch.add(tokens[:n], 0, 0, wants_logits=wanted)
            assert context.decode(batch) is DecodeStatus.OK
            found[n] = context.logits(0).copy()
            context.clear()
        batch.close()
    return found


@pytest.fixture(scope="module", params=["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "Q4_K_S", "Q5_K_S", "Q6_K"])
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    n_embd, n_ff = WIDE if "_K" in request.param else (N_EMBD, N_FF)
    # One head of keys: 24 rows of weights, which are sixteen and eight.
    source = tiny_gguf.write_tiny_gguf(folder / "tiny.gguf", n_embd=n_embd, n_ff=n_ff, n_kv_head=1, chat_template=None)
    made = make(source, request.param, folder / f"{request.param}.gguf")
    assert request.param.removesuffix("_S") in {tensor.type.name for tensor in read_inventory(made).tensors}
    return made


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_a_product_has_the_same_bits_however_many_rows_there_are(quantized: Path, n_threads: int) -> None:
    first, *others = first_rows(quantized, n_threads).values()

    assert len(others) >= 5
    assert all(np.array_equal(first, row) for row in others)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_a_product_of_rearranged_weights_is_that_of_the_weights_as_they_are(tmp_path: Path, n_threads: int) -> None:
    n_embd, n_ff = WIDE
    source = tiny_gguf.write_tiny_gguf(tmp_path / "tiny.gguf", n_embd=n_embd, n_ff=n_ff, chat_template=None)
    (tmp_path / "pure.toml").write_text('[pure]\nbase = "Q4_K_S"\nmixture = "pure"\non_misaligned = "substitute"\n')
    made = make(source, f"{tmp_path}/pure.toml:pure", tmp_path / "made.gguf")
    rearranged, as_they_are = first_rows(made, n_threads, repack=True), first_rows(made, n_threads)

    assert all(np.array_equal(rearranged[1], row) for row in rearranged.values())
    assert all(np.array_equal(rearranged[n], as_they_are[n]) for n in ROWS)


def test_a_product_is_that_of_the_weights_as_plain_numbers(quantized: Path) -> None:
    plain = make(quantized, "F16", quantized.with_name("plain.gguf"))
    ours, expected = first_rows(quantized, 2), first_rows(plain, 2)

    for n in ROWS:
        # The batch is quantized to bytes in one of them: half of 1/127 of a block's largest value.
        assert np.corrcoef(ours[n], expected[n])[0, 1] > 0.999
        assert np.abs(ours[n] - expected[n]).max() < 0.05 * np.abs(expected[n]).max()
