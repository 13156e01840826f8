"""What is said of a model, its bits in groups, and the picture of them."""

from __future__ import annotations

import builtins
import json
import math

import pytest
from ggufs.model_heads import HEADS, inventory_of

from quantizer.errors import DataError
from quantizer.model.groups import group_of, grouped
from quantizer.model.inventory import read_inventory
from quantizer.planning.inspection import inspect
from quantizer.planning.types import TARGETS
from quantizer.report.heat_map import bits_by_layer, draw_heat_map


def test_an_inspection_says_what_a_model_is(tiny):
    inventory = read_inventory(tiny)
    found = inspect(inventory)
    assert (found.architecture, found.name, found.n_layer, found.is_tied) == ("llama", "tiny", 2, False)
    assert found.n_values == sum(tensor.n_values for tensor in inventory.tensors)
    assert found.bits_per_weight == 32
    assert found.duplicate is None
    assert json.loads(json.dumps(found.as_json()))["files"] == [str(tiny)]


def test_rows_that_no_block_divides_are_told_with_what_llama_cpp_makes_of_them(tiny):
    rows = {one.row_length: one for one in inspect(read_inventory(tiny)).misaligned}
    assert rows.keys() == {64, 128}
    assert rows[128].kinds == ("ffn_down",)
    assert rows[128].n_tensors == 2
    assert rows[64].substitutes["Q4_K"] == "Q5_0"
    assert rows[64].substitutes["Q1_0"] == "none"
    assert "Q1_0" not in rows[128].substitutes
    assert "Q8_0" not in rows[64].substitutes


def test_a_model_of_whole_blocks_has_nothing_to_tell(wide):
    assert inspect(read_inventory(wide)).misaligned == ()


def test_groups_have_every_tensor_once():
    inventory = inventory_of(HEADS["mixtral-8x7b"])
    groups = grouped((tensor, tensor.type) for tensor in inventory.tensors)
    assert sum(group.n_tensors for group in groups) == len(inventory.tensors)
    assert sum(group.size_bytes for group in groups) == sum(tensor.size_bytes for tensor in inventory.tensors)
    assert [group.size_bytes for group in groups] == sorted((one.size_bytes for one in groups), reverse=True)


def test_groups_are_by_use():
    names = {tensor.kind: group_of(tensor) for tensor in inventory_of(HEADS["llama3-8b"]).tensors}
    assert {names["token_embd"], names["output"]} == {"embedding"}
    assert names["attn_q"] == names["attn_output"] == "attention"
    assert names["ffn_down"] == "feed-forward"
    assert names["attn_norm"] == names["output_norm"] == "other"


def test_bits_by_layer_have_a_row_for_each_kind_and_holes_where_a_layer_has_none():
    inventory = inventory_of(HEADS["llama3-8b"])
    typed = [
        (tensor, TARGETS["Q6_K"] if tensor.layer == 3 else TARGETS["Q4_K"])
        for tensor in inventory.tensors
        if tensor.name != "blk.5.attn_v.weight"
    ]
    kinds, bits = bits_by_layer(typed)
    assert kinds == ["attn_k", "attn_output", "attn_q", "attn_v", "ffn_down", "ffn_gate", "ffn_up"]
    assert bits.shape == (7, 32)
    assert (bits[0, 3], bits[0, 4]) == (6.5625, 4.5)
    assert math.isnan(bits[3, 5])


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_heat_map_is_a_picture_and_always_the_same(tmp_path, tiny, ending):
    pytest.importorskip("matplotlib")
    typed = [(tensor, tensor.type) for tensor in read_inventory(tiny).tensors]
    paths = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for path in paths:
        draw_heat_map(typed, "tiny", path)
    data = [path.read_bytes() for path in paths]
    assert data[0].startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert data[0] == data[1]


def test_without_matplotlib_the_message_says_how_to_get_it(tmp_path, tiny, monkeypatch):
    found = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    typed = [(tensor, tensor.type) for tensor in read_inventory(tiny).tensors]
    with pytest.raises(DataError, match=r"functiongate\[report\]"):
        draw_heat_map(typed, "tiny", tmp_path / "map.png")


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"\.png or \.svg"):
        draw_heat_map([], "none", tmp_path / "map.jpg")
