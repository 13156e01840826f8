"""Fixtures of the quantizer's tests: models of code, a base in F16, and llama.cpp's own tools as oracles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ggufs.tiny_gguf import write_tiny_gguf

from quantizer.model.inventory import read_inventory
from quantizer.planning.plan import make_plan
from quantizer.planning.recipe_file import find_recipes
from quantizer.quantize import quantize
from server.llama.library import ALL_KERNELS, NO_KERNELS, library


@pytest.fixture(scope="module", autouse=True)
def kernels_of_ggml():
    """As the command line sets it: figures are compared with those of llama.cpp's tools."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FUNCTIONGATE_KERNELS", "0")  # for processes that a test starts
        library().set_kernels(NO_KERNELS)
        yield
        library().set_kernels(ALL_KERNELS)


@pytest.fixture
def tiny(tmp_path):
    """A random model of two layers with rows of 64 values: no block of 256 fits."""
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def wide(tmp_path):
    """A random model of two layers with rows of 256 and 512 values: every block fits."""
    return write_tiny_gguf(tmp_path / "wide.gguf", n_embd=256, n_ff=512)


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder with llama-quantize and the like, built from the bindings' own llama.cpp."""
    folder = os.environ.get("FUNCTIONGATE_LLAMA_TOOLS")
    if not folder:
        pytest.skip("FUNCTIONGATE_LLAMA_TOOLS does not name a folder with llama-quantize")
    return Path(folder)


@pytest.fixture(scope="session")
def smollm2_f16(smollm2_path, tmp_path_factory) -> Path:
    """SmolLM2 dequantized to F16."""
    plan = make_plan(find_recipes("F16")[0], read_inventory(smollm2_path), allow_requantize=True)
    return quantize(plan, tmp_path_factory.mktemp("f16") / "smollm2-f16.gguf").paths[0]
