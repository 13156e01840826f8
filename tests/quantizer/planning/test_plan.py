"""Plans: what is refused before C sees it, what is substituted and said, what is counted to the byte."""

from __future__ import annotations

import dataclasses

import pytest
from ggufs.hand_made_imatrix import hand_made_imatrix

from quantizer.errors import PlanError
from quantizer.imatrix.source import ImatrixFile
from quantizer.model.inventory import read_inventory
from quantizer.model.layout import entry_bytes
from quantizer.planning.plan import make_plan
from quantizer.planning.recipe import Activations, Mixture, OnTrouble, Recipe, Rule, Selector
from quantizer.planning.recipe_file import builtin_recipes, find_recipes
from quantizer.planning.types import FILE_TYPES, TARGETS

WIDE = {"n_embd": 256, "n_ff": 512}


def recipe(base, *rules, **options):
    made = tuple(Rule(Selector(kinds=(kind,)), TARGETS[name]) for kind, name in rules)
    return Recipe("mine", FILE_TYPES[base], rules=made, mixture=Mixture.PURE, **options)


def test_rows_that_do_not_fit_are_refused_with_the_way_out(tiny):
    with pytest.raises(PlanError, match=r"blk.0.*and 11 more tensors cannot be Q4_K: 64 values.*on_misaligned.*Q5_0"):
        make_plan(recipe("Q4_K_M", ("output", "Q8_0"), ("token_embd", "Q8_0")), read_inventory(tiny))


def test_a_type_without_a_substitute_is_refused_whatever_the_recipe_says(tiny):
    with pytest.raises(PlanError, match="no substitute"):
        make_plan(recipe("Q1_0", on_misaligned=OnTrouble.SUBSTITUTE), read_inventory(tiny))


def test_substitutes_are_recorded_with_what_was_asked_and_why(tiny):
    plan = make_plan(recipe("Q4_K_M", on_misaligned=OnTrouble.SUBSTITUTE), read_inventory(tiny))
    found = {one.tensor: one for one in plan.substitutions}
    assert len(found) == 16
    one = found["blk.0.attn_q.weight"]
    assert (one.asked.name, one.got.name) == ("Q4_K", "Q5_0")
    assert "64 values" in one.why
    assert plan.types["blk.0.attn_q.weight"].name == "Q5_0"
    assert "blk.0.ffn_down.weight" in found


def test_embeddings_that_would_abort_the_process_are_refused(wide):
    """llama.cpp demands no activations for an embedding, and ggml aborts without."""
    inventory = read_inventory(wide)
    imatrix = hand_made_imatrix(inventory)
    for name in ("IQ2_XXS", "IQ2_XS", "IQ1_S"):
        with pytest.raises(PlanError, match=rf"token_embd.weight cannot be {name}.*needs activations"):
            make_plan(recipe("Q4_0", ("token_embd", name)), inventory, imatrix=imatrix)
    plan = make_plan(recipe("Q4_0", ("token_embd", "IQ3_XXS")), inventory, imatrix=imatrix)
    assert plan.types["token_embd.weight"].name == "IQ3_XXS"
    assert plan.unweighted == ("output.weight", "token_embd.weight")


def test_a_layer_without_the_activations_that_its_type_needs_is_refused_or_gets_more_bits(wide):
    inventory = read_inventory(wide)
    imatrix = hand_made_imatrix(inventory, but=("attn_k",))
    asked = recipe("IQ2_S", ("token_embd", "Q4_0"), ("output", "Q4_0"), ("attn_k", "IQ2_S"))
    with pytest.raises(PlanError, match=r"blk.0.attn_k.weight, blk.1.attn_k.weight cannot be IQ2_S"):
        make_plan(asked, inventory, imatrix=imatrix)
    plan = make_plan(dataclasses.replace(asked, on_missing_imatrix=OnTrouble.SUBSTITUTE), inventory, imatrix=imatrix)
    assert {(one.tensor, one.got.name) for one in plan.substitutions} == {
        ("blk.0.attn_k.weight", "Q2_K"),
        ("blk.1.attn_k.weight", "Q2_K"),
    }


def test_q2_k_s_needs_activations_as_a_file_type(wide):
    inventory = read_inventory(wide)
    with pytest.raises(PlanError, match="Q2_K needs activations"):
        make_plan(find_recipes("Q2_K_S")[0], inventory)
    assert make_plan(find_recipes("Q2_K")[0], inventory).types["blk.0.attn_q.weight"].name == "Q2_K"


def test_activations_of_another_model_are_refused(tiny, wide):
    imatrix = hand_made_imatrix(read_inventory(wide))
    with pytest.raises(PlanError, match=r"256 columns for .*the model has 64.*another model"):
        make_plan(recipe("Q4_0"), read_inventory(tiny), imatrix=imatrix)
    entries = {f"other.{name}": entry for name, entry in imatrix.imatrix.entries.items()}
    renamed = ImatrixFile(dataclasses.replace(imatrix.imatrix, entries=entries), "other.gguf", "00" * 32)
    with pytest.raises(PlanError, match="has no tensor of"):
        make_plan(recipe("Q4_0"), read_inventory(wide), imatrix=renamed)


def test_a_recipe_says_whether_activations_are_used(wide):
    inventory = read_inventory(wide)
    with pytest.raises(PlanError, match="give --imatrix"):
        make_plan(recipe("Q4_0", imatrix=Activations.REQUIRED), inventory)
    unused = make_plan(recipe("Q4_0", imatrix=Activations.UNUSED), inventory, imatrix=hand_made_imatrix(inventory))
    assert unused.imatrix is None
    assert not any(key.startswith("quantize.imatrix") for key in unused.entries)


def test_a_quantized_source_is_refused_without_leave(tiny, tmp_path):
    pytest.importorskip("llama_cpp")
    from quantizer.quantize import quantize

    made = quantize(make_plan(recipe("Q8_0"), read_inventory(tiny)), tmp_path / "q8.gguf").paths[0]
    inventory = read_inventory(made)
    with pytest.raises(PlanError, match="--allow-requantize"):
        make_plan(recipe("Q4_0"), inventory)
    again = make_plan(recipe("Q4_0"), inventory, allow_requantize=True)
    assert len(again.requantized) == 16
    assert again.entries["quantizer.requantized"] is True
    base = make_plan(recipe("F16"), inventory, allow_requantize=True)
    assert base.entries["quantizer.dequantized_from"] == "Q8_0 (16)"
    assert "quantizer.requantized" not in base.entries
    assert not make_plan(recipe("Q8_0"), inventory).requantized


def test_a_file_type_of_numbers_with_an_exception_is_asked_of_llama_cpp_as_a_quantized_one(tiny):
    """llama.cpp heeds overrides only under a quantized default; the label in the file stays what it is."""
    inventory = read_inventory(tiny)
    assert make_plan(recipe("F16"), inventory).native_file_type.name == "F16"
    mixed = make_plan(recipe("F16", ("output", "BF16")), inventory)
    assert mixed.native_file_type.name == "Q8_0"
    assert mixed.entries["general.file_type"] == FILE_TYPES["F16"].id


def test_a_plan_needs_no_library_and_no_weights(tiny, monkeypatch):
    """The file's data is a hole: a plan reads the head alone."""
    inventory = read_inventory(tiny)
    with tiny.open("r+b") as file:
        file.truncate(inventory.header.data_offset)
        file.truncate(inventory.header.size_bytes)
    monkeypatch.setattr("server.llama.library.library", None)
    planned = 0
    for each in builtin_recipes().values():
        # Of the others one has no substitute for these rows, one needs activations by its label.
        if each.imatrix is not Activations.REQUIRED and each.base.name not in ("Q1_0", "Q2_K_S"):
            relaxed = dataclasses.replace(each, on_missing_imatrix=OnTrouble.SUBSTITUTE)
            assert make_plan(relaxed, inventory).size_bytes > 0
            planned += 1
    assert planned > 30


@pytest.mark.parametrize(
    ("key", "value", "size"), [("ab", "xyz", 8 + 2 + 4 + 8 + 3), ("ab", 5, 8 + 2 + 4 + 4), ("ab", True, 8 + 2 + 4 + 1)]
)
def test_an_entrys_length_is_its_encoding(key, value, size):
    assert entry_bytes(key, value) == size
