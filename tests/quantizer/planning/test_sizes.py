"""Every recipe's file of real models is as long as its plan says, to the byte.

What a file weighs follows from the model's head and from the types, not from the weights. So the source is the model's
own head with a hole for its weights: llama.cpp writes the whole file, and zeros are quickly quantized.
FUNCTIONGATE_BASES names more models than SmolLM2: F16 files, separated by colons.
"""

import os
import shutil
from pathlib import Path

import pytest
from ggufs.hand_made_imatrix import hand_made_imatrix

from quantizer.errors import PlanError
from quantizer.model.inventory import read_inventory
from quantizer.planning.plan import make_plan
from quantizer.planning.recipe_file import builtin_recipes, find_recipes
from quantizer.quantize import quantize

pytestmark = [pytest.mark.native, pytest.mark.slow]

BASES = [Path(name) for name in os.environ.get("FUNCTIONGATE_BASES", "").split(":") if name]


@pytest.fixture(scope="module", params=["smollm2", *BASES], ids=lambda base: Path(base).stem)
def hollow(request, tmp_path_factory):
    """The inventory of a model whose weights are all zero."""
    base = request.getfixturevalue("smollm2_f16") if request.param == "smollm2" else request.param
    head = read_inventory(base).header
    path = tmp_path_factory.mktemp("hollow") / base.name
    with base.open("rb") as source, path.open("wb") as file:
        file.write(source.read(head.data_offset))
        file.truncate(head.size_bytes)
    yield read_inventory(path)
    shutil.rmtree(path.parent)


def plan_of(name, inventory):
    statistics = {what: {tensor.name: 1.0 for tensor in inventory.tensors} for what in ("zd", "cossim", "energy")}
    imatrix = hand_made_imatrix(inventory, tied=True)
    return make_plan(find_recipes(name)[0], inventory, imatrix=imatrix, statistics=statistics)


@pytest.mark.parametrize("name", sorted(builtin_recipes()))
def test_the_file_is_as_long_as_was_planned(hollow, tmp_path, name):
    if name == "Q1_0" and any(tensor.row_length % 128 for tensor in hollow.tensors if len(tensor.shape) > 1):
        with pytest.raises(PlanError, match="not whole blocks of 128"):
            plan_of(name, hollow)
        return
    plan = plan_of(name, hollow)
    (path,) = quantize(plan, tmp_path / "made.gguf").paths
    assert path.stat().st_size == plan.size_bytes
    made = read_inventory(path)
    assert {tensor.name: tensor.type for tensor in made.tensors} == plan.types
    path.unlink()
