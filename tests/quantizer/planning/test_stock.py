"""The rules of llama.cpp: golden choices of llama-quantize's dry run, for models that need no file.

`tests/golden/stock_types.json` was written by `tests/golden_stock_types.py` from the tools of the bindings' own
llama.cpp. It has, by model, file type and whether there are activations, the types of every kind of tensor and the
layers that have them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ggufs.model_heads import HEADS, inventory_of
from ggufs.stock_summary import summary

from quantizer.model.categories import allows_quantization
from quantizer.planning.stock import stock_types
from quantizer.planning.types import FILE_TYPES, fallback, fits

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "stock_types.json").read_text())


@pytest.mark.parametrize("model", GOLDEN)
@pytest.mark.parametrize("has_imatrix", [False, True], ids=["without", "with"])
def test_types_are_those_that_llama_quantize_chose(model, has_imatrix):
    inventory = inventory_of(HEADS[model])
    golden = GOLDEN[model]["with" if has_imatrix else "without"]
    assert len(golden) >= 33
    for name, expected in golden.items():
        asked = stock_types(inventory, FILE_TYPES[name], has_imatrix=has_imatrix)
        chosen = {tensor.name: tensor.type for tensor in inventory.tensors}
        for tensor in inventory.tensors:
            if tensor.name in asked:
                kind = asked[tensor.name]
                fitting = kind if fits(kind, tensor.row_length) else fallback(kind, tensor.row_length)
                assert fitting is not None
                chosen[tensor.name] = fitting
        assert summary({key: kind.name for key, kind in chosen.items()}) == expected, name


def test_the_golden_models_cover_every_branch():
    """Shared values, tied outputs, rows that do not fit, eight experts, many experts, 70B and Falcon."""
    heads = [HEADS[name] for name in GOLDEN]
    assert {head.n_head // head.n_head_kv >= 4 for head in heads} == {True, False}
    assert {"output" in head.ends for head in heads} == {True, False}
    assert {head.width % 256 == 0 for head in heads} == {True, False}
    assert {0, 8, 64} <= {head.n_expert for head in heads}
    assert any(head.n_layer == 80 for head in heads)
    assert any(head.architecture == "falcon" for head in heads)


def test_small_and_delicate_tensors_are_left_alone():
    inventory = inventory_of(HEADS["mixtral-8x7b"])
    kept = {tensor.kind for tensor in inventory.tensors if not allows_quantization(tensor, "llama")}
    assert kept == {"attn_norm", "ffn_norm", "ffn_gate_inp", "output_norm"}
