"""The kernels of our own are called where they should be: with one of them off, and no other, bits differ."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
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
from server.llama.library import ALL_KERNELS, NO_KERNELS, library
from server.llama.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ATTENTION, MATMUL, REARRANGED = 1, 2, 4  # kernels/switch.h
N_TOKENS = 24


@pytest.fixture(autouse=True)
def all_kernels() -> Iterator[None]:
    library().set_kernels(ALL_KERNELS)
    yield
    library().set_kernels(ALL_KERNELS)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers in Q4_K: products of weights as they are, or as ggml rearranges them for this processor."""
    folder = tmp_path_factory.mktemp("model")
    source = tiny_gguf.write_tiny_gguf(folder / "tiny.gguf", n_embd=256, n_ff=512, chat_template=None)
    plan = make_plan(find_recipes("Q4_K_S")[0], read_inventory(source), allow_requantize=True)
    (path,) = quantize(plan, folder / "made.gguf").paths
    return path


def logits(path: Path, kernels: int, *, repack: bool) -> np.ndarray:
    with Model(path, repack=repack) as model, Context(model, n_ctx=128, n_batch=64, n_threads=1) as context:
        library().set_kernels(kernels)
        batch = Batch(64, 1, context.n_vocab)
        wanted = np.arange(N_TOKENS) == N_TOKENS - 1
        batch.add(np.arange(3, 3 + N_TOKENS), 0, 0, wants_logits=wanted)
        assert context.decode(batch) is DecodeStatus.OK
        row = context.logits(0).copy()
        batch.close()
        return row


@pytest.mark.parametrize(
    ("kernel", "repack"),
    [(ATTENTION, False), (MATMUL, False), (REARRANGED, True)],
    ids=["attention", "matmul", "rearranged"],
)
def test_bits_differ_with_one_kernel_off(model_file: Path, kernel: int, repack: bool) -> None:
    """A bump of llama.cpp that no longer calls one of them would change nothing but the speed."""
    ours = logits(model_file, ALL_KERNELS, repack=repack)
    np.testing.assert_array_equal(ours, logits(model_file, ALL_KERNELS, repack=repack))
    others = logits(model_file, ALL_KERNELS & ~kernel, repack=repack)
    assert not np.array_equal(ours, others)
    assert np.corrcoef(ours, others)[0, 1] > 0.99  # the same product, rounded at other places


def test_the_name_of_the_kernels_is_that_of_the_moment() -> None:
    """Prefixes are kept under it: what was computed by others is rounded otherwise."""
    name, build = library().kernels, library().build_info()
    assert name
    assert name in build
    library().set_kernels(NO_KERNELS)
    assert library().kernels is None
    assert "own kernels" not in library().build_info()
    library().set_kernels(ALL_KERNELS)
    assert library().kernels == name


def test_the_environment_is_read_once_and_no_kernel_reads_it(model_file: Path) -> None:
    """Getenv in a kernel beside setenv in another thread reads freed memory."""
    ours = logits(model_file, ALL_KERNELS, repack=False)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            os.putenv("FUNCTIONGATE_KERNELS", "0")
            os.unsetenv("FUNCTIONGATE_KERNELS")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(5):
            np.testing.assert_array_equal(ours, logits(model_file, ALL_KERNELS, repack=False))
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(("setting", "is_on"), [("0", False), ("1", True)])
def test_the_environment_decides_at_the_beginning(setting: str, is_on: bool) -> None:
    code = "from server.llama.library import library; print(bool(library().kernels))"
    environment = {**os.environ, "FUNCTIONGATE_KERNELS": setting}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{is_on}\n"
