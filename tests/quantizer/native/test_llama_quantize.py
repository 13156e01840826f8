"""The oracle: our files' tensors are byte for byte what llama-quantize writes, and our rules choose what it chooses.

Needs the tools of the bindings' own llama.cpp in FUNCTIONGATE_LLAMA_TOOLS (`make test-oracles`).
"""

from __future__ import annotations

import os
import re
import subprocess

import numpy as np
import pytest

from quantizer.errors import PlanError
from quantizer.imatrix.source import read_imatrix_source
from quantizer.model.inventory import read_inventory
from quantizer.native.quantize import anchored
from quantizer.planning.plan import make_plan
from quantizer.planning.recipe_file import find_recipes
from quantizer.planning.types import FILE_TYPES
from quantizer.quantize import quantize

pytestmark = [pytest.mark.native, pytest.mark.slow]

STOCK = ("Q4_K_M", "IQ3_M", "IQ4_XS", "Q2_K", "Q4_0")
MIXED = (
    "card-q4_k",
    "card-bf16-q8_0",
    "dynamicgate1-IQ1_S",
    "dynamicgate3-IQ2_XXS",
    "layerwise-Q4_K_M",
    "tensorwise-energy-Q4_K_M",
)
LINE = re.compile(
    r"^\[ *\d+/ *\d+\] (\S+) +- \[.*?\], type = +(\S+), size = .*? MiB(?: -> +[\d.]+ MiB \((\S+)\))?", re.MULTILINE
)


def llama(tools, tool, *arguments):
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tools)}
    command = [str(tools / tool), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def imatrix_path(tools, smollm2_path, tmp_path_factory):
    """Activations of SmolLM2 on three chunks of this project's own prose."""
    folder = tmp_path_factory.mktemp("imatrix")
    text = folder / "text.txt"
    text.write_text(
        "\n".join(f"{i}. The function takes {i * 7} and returns {i * i}; call it again." for i in range(200))
    )
    path = folder / "imatrix.gguf"
    llama(tools, "llama-imatrix", "-m", smollm2_path, "-f", text, "-o", path, "--chunks", 3)
    return path


@pytest.mark.parametrize("has_imatrix", [False, True])
def test_the_stock_rules_choose_what_llama_quantize_chooses(tools, smollm2_f16, imatrix_path, has_imatrix):
    inventory = read_inventory(smollm2_f16)
    imatrix = read_imatrix_source(imatrix_path) if has_imatrix else None
    options = ["--imatrix", imatrix_path] if has_imatrix else []
    compared = 0
    for name in FILE_TYPES.keys() - {"Q1_0"}:  # neither side has a substitute for its rows of 576 values
        log = llama(tools, "llama-quantize", *options, "--dry-run", smollm2_f16, "none.gguf", name)
        chosen = {match[1]: (match[3] or match[2]).upper() for match in LINE.finditer(log)}
        if "completing this quantization will require an imatrix" in log:
            with pytest.raises(PlanError, match="needs activations"):
                make_plan(find_recipes(name)[0], inventory, imatrix=imatrix)
            continue
        plan = make_plan(find_recipes(name)[0], inventory, imatrix=imatrix)
        assert {tensor: kind.name for tensor, kind in plan.types.items()} == chosen, name
        compared += 1
    assert compared >= 27


@pytest.mark.parametrize("name", STOCK + MIXED)
def test_the_tensors_are_byte_for_byte_llama_quantizes(tools, smollm2_f16, imatrix_path, tmp_path, name):
    recipe, inventory = find_recipes(name)[0], read_inventory(smollm2_f16)
    imatrix = read_imatrix_source(imatrix_path)
    energy = {tensor: float(entry.sums.sum()) for tensor, entry in imatrix.imatrix.entries.items()}
    plan = make_plan(recipe, inventory, imatrix=imatrix, statistics={"energy": energy})
    ours = quantize(plan, tmp_path / "ours.gguf")
    theirs = tmp_path / "theirs.gguf"
    options = ["--imatrix", imatrix_path] if plan.imatrix else []
    if name not in STOCK:
        overrides = tmp_path / "overrides.txt"
        overrides.write_text("\n".join(f"{anchored(one)}={kind.name.lower()}" for one, kind in plan.overrides.items()))
        options += ["--tensor-type-file", overrides]
    llama(tools, "llama-quantize", *options, smollm2_f16, theirs, recipe.base.name)
    left, right = read_inventory(ours.paths[0]), read_inventory(theirs)
    assert list(left.by_name) == list(right.by_name)
    for tensor in left.tensors:
        other = right.by_name[tensor.name]
        assert (tensor.type, tensor.shape) == (other.type, other.shape), tensor.name
        assert np.array_equal(left.data(tensor), right.data(other)), tensor.name
    assert (left.size_bytes,) == plan.file_bytes


def test_a_model_split_by_llama_cpp_is_kept_split_as_llama_quantize_does(tools, smollm2_f16, tmp_path):
    llama(tools, "llama-gguf-split", "--split-max-tensors", 100, smollm2_f16, tmp_path / "part")
    first = tmp_path / "part-00001-of-00003.gguf"
    plan = make_plan(find_recipes("Q8_0")[0], read_inventory(first), keep_split=True)
    ours = quantize(plan, tmp_path / "ours.gguf")
    llama(tools, "llama-quantize", "--keep-split", first, tmp_path / "theirs", "Q8_0")
    theirs = read_inventory(tmp_path / "theirs-00001-of-00003.gguf")
    assert tuple(path.stat().st_size for path in ours.paths) == plan.file_bytes
    for left, right in zip(read_inventory(ours.paths[0]).tensors, theirs.tensors, strict=True):
        assert (left.name, left.type, left.part) == (right.name, right.type, right.part)
        assert np.array_equal(read_inventory(ours.paths[0]).data(left), theirs.data(right)), left.name
