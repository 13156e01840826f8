"""Recipes over models: who decides, what adds up, and that the published mixes weigh what was published."""

from __future__ import annotations

import re

import pytest
from ggufs.model_heads import HEADS, inventory_of

from quantizer.errors import PlanError, RecipeError
from quantizer.model.categories import allows_quantization
from quantizer.planning.layers import parse_layers
from quantizer.planning.recipe import Bump, Condition, Mixture, Recipe, Rule, Selector, wishes
from quantizer.planning.recipe_file import builtin_recipes
from quantizer.planning.stock import stock_types
from quantizer.planning.types import FILE_TYPES, TARGETS

LLAMA = inventory_of(HEADS["llama3-8b"])
SMOL = inventory_of(HEADS["smollm2-135m"])
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
DOWN = [f"blk.{layer}.ffn_down.weight" for layer in range(32)]


def chosen(recipe, inventory=LLAMA, **options):
    found = wishes(recipe, inventory, **{"has_imatrix": True, **options})
    return {name: wish.type.name for name, wish in found.items()}


def rule(kind, type_name, **options):
    return Rule(Selector(kinds=(kind,), **options), TARGETS[type_name])


def test_the_first_rule_that_selects_decides():
    recipe = Recipe(
        "r",
        FILE_TYPES["Q4_K_M"],
        rules=(rule("ffn_down", "Q6_K", layers=parse_layers("first 1/4")), rule("ffn_down", "Q3_K")),
    )
    assert [chosen(recipe)[name] for name in DOWN] == ["Q6_K"] * 8 + ["Q3_K"] * 24


def test_where_no_rule_selects_the_stock_mixture_stands_as_if_there_were_no_rules():
    """Overridden tensors advance llama.cpp's counters here, unlike in llama-quantize with a partial override."""
    recipe = Recipe("r", FILE_TYPES["Q4_K_M"], rules=(rule("ffn_down", "Q8_0", layers=parse_layers("0-10")),))
    stock = stock_types(LLAMA, FILE_TYPES["Q4_K_M"], has_imatrix=True)
    assert [chosen(recipe)[name] for name in DOWN[11:]] == [stock[name].name for name in DOWN[11:]]


def test_a_pure_recipe_is_its_default_type_where_no_rule_selects():
    recipe = Recipe("r", FILE_TYPES["Q4_K_M"], mixture=Mixture.PURE)
    assert set(chosen(recipe).values()) == {"Q4_K"}


def test_a_rule_may_keep_the_type_of_the_source():
    recipe = Recipe("r", FILE_TYPES["Q4_0"], rules=(Rule(Selector(kinds=("token_embd",)), None),))
    assert chosen(recipe)[EMBEDDING] == "F16"


def test_bumps_add_up_and_stop_at_the_ends_of_the_ladder():
    ladder = tuple(TARGETS[name] for name in ("Q2_K", "Q3_K", "Q4_K"))
    everywhere, first = Selector(kinds=("ffn_down",)), Selector(kinds=("ffn_down",), layers=parse_layers("0"))
    recipe = Recipe(
        "r",
        FILE_TYPES["Q2_K"],
        ladder=ladder,
        start=ladder[0],
        bumps=(Bump(everywhere, 1), Bump(first, 9), Bump(Selector(kinds=("ffn_up",)), -3)),
    )
    found = chosen(recipe)
    assert (found[DOWN[0]], found[DOWN[1]], found["blk.0.ffn_up.weight"]) == ("Q4_K", "Q3_K", "Q2_K")


@pytest.mark.parametrize(
    ("relation", "bound", "expected"),
    [("above", 29, [30, 31]), ("below", 2, [0, 1]), ("top", 0.125, [28, 29, 30, 31]), ("bottom", 0.0625, [0, 1])],
)
def test_a_statistic_selects_by_value_or_by_rank_among_its_kind(relation, bound, expected):
    values = {name: float(layer) for layer, name in enumerate(DOWN)} | {"blk.0.attn_q.weight": 1e9}
    recipe = Recipe(
        "r",
        FILE_TYPES["Q4_0"],
        mixture=Mixture.PURE,
        rules=(rule("ffn_down", "Q8_0", condition=Condition("zd", relation, bound)),),
    )
    found = chosen(recipe, statistics={"zd": values})
    assert [layer for layer, name in enumerate(DOWN) if found[name] == "Q8_0"] == expected


def test_ranks_compare_tensors_of_one_kind_only():
    """A quarter of every kind is a quarter of the tensors, whatever the kinds' scales."""
    names = [tensor.name for tensor in LLAMA.tensors if tensor.layer is not None and len(tensor.shape) == 2]
    values = {name: index * (1e6 if "ffn" in name else 1.0) for index, name in enumerate(names)}
    selector = Selector(pattern=re.compile("^blk"), condition=Condition("energy", "top", 0.25))
    recipe = Recipe("r", FILE_TYPES["Q4_0"], mixture=Mixture.PURE, rules=(Rule(selector, TARGETS["Q8_0"]),))
    better = [name for name, kind in chosen(recipe, statistics={"energy": values}).items() if kind == "Q8_0"]
    counts = {kind: sum(f".{kind}." in name for name in better) for kind in HEADS["llama3-8b"].layer}
    assert set(counts.values()) - {0} == {8}
    assert len(better) == 7 * 8


def test_a_statistic_that_is_not_given_is_refused_by_name():
    with pytest.raises(PlanError, match="'zd'"):
        chosen(builtin_recipes()["tensorwise-zd-Q4_K_M"])


def test_a_rule_that_names_no_tensor_is_refused_with_the_models_kinds():
    with pytest.raises(RecipeError, match=r"rule 1 names no tensor.*ffn_donw.*attn_k"):
        chosen(Recipe("r", FILE_TYPES["Q4_0"], rules=(rule("ffn_donw", "Q8_0"),)))
    bumps, ladder = (Bump(Selector(kinds=("ffn_donw",)), 1),), (TARGETS["Q4_0"],)
    with pytest.raises(RecipeError, match=r"no bump names a tensor.*attn_k"):
        chosen(Recipe("r", FILE_TYPES["Q4_0"], ladder=ladder, start=ladder[0], bumps=bumps))


@pytest.mark.parametrize(
    ("name", "bits", "gigabytes"),
    [
        ("IQ1_S", 2.88, 3.23),
        ("IQ2_XXS", 2.88, 3.23),
        ("IQ1_M", 3.57, None),
        ("IQ2_XS", 3.57, None),
        ("IQ2_S", 3.70, None),
        ("IQ2_M", 3.70, None),
        ("IQ3_XXS", 3.51, None),
        ("IQ3_S", 3.77, None),
        ("Q2_K", 3.06, None),
        ("Q3_K", 3.98, None),
        ("Q4_K", 4.73, None),
        ("Q5_K", 5.74, None),
    ],
)
def test_the_third_dynamicgate_weighs_what_its_own_rules_give_on_an_8b_model(name, bits, gigabytes):
    types = chosen(builtin_recipes()[f"dynamicgate3-{name}"])
    blocks = [tensor for tensor in LLAMA.tensors if tensor.layer is not None and tensor.name in types]
    total = sum(TARGETS[types[tensor.name]].bits_per_weight * tensor.n_values for tensor in blocks)
    assert round(total / sum(tensor.n_values for tensor in blocks), 2) == bits
    if gigabytes is not None:
        everything = sum(
            tensor.n_values * TARGETS[types[tensor.name]].bits_per_weight
            for tensor in LLAMA.tensors
            if tensor.name in types
        )
        assert round(everything / 8e9, 2) == gigabytes


def test_the_first_dynamicgate_changes_ffn_down_and_the_ends_alone():
    for label in ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"):
        found = chosen(builtin_recipes()[f"dynamicgate1-{label}"])
        stock = {name: kind.name for name, kind in stock_types(LLAMA, FILE_TYPES[label], has_imatrix=True).items()}
        changed = {re.sub(r"blk\.\d+\.", "", name) for name in found if found[name] != stock[name]}
        assert changed <= {"ffn_down.weight", "token_embd.weight", "output.weight"}
        better, rest = ("IQ4_XS", "IQ3_S") if label in ("IQ2_S", "IQ2_M") else ("IQ3_S", "IQ2_XXS")
        assert [found[name] for name in DOWN] == [better] * 8 + [rest] * 16 + [better] * 8
        assert found[EMBEDDING] == found[OUTPUT] == "Q5_K"


@pytest.mark.parametrize("model", sorted(HEADS))
def test_every_built_in_recipe_has_a_type_for_every_tensor_of_every_model(model):
    inventory = inventory_of(HEADS[model])
    architecture = inventory.hyperparameters.architecture
    changeable = {one.name for one in inventory.tensors if allows_quantization(one, architecture)}
    statistics = {name: dict.fromkeys(changeable, 1.0) for name in ("zd", "cossim", "energy")}
    for name, recipe in builtin_recipes().items():
        if model in ("falcon-7b", "mixtral-8x7b", "moe-64") and "wise" in name:
            continue  # written for separate attn_q and attn_k and one ffn_down, and refused with the kinds there are
        assert chosen(recipe, inventory, statistics=statistics).keys() == changeable, name


def test_the_l_files_put_ends_at_q8_0_on_the_stock_mixture():
    found = chosen(builtin_recipes()["Q3_K_XL"])
    stock = stock_types(LLAMA, FILE_TYPES["Q3_K_L"], has_imatrix=True)
    assert found[EMBEDDING] == found[OUTPUT] == "Q8_0"
    assert {name: kind.name for name, kind in stock.items() if "blk" in name}.items() <= found.items()
    assert chosen(builtin_recipes()["Q4_K_L"], SMOL)[EMBEDDING] == "Q8_0"
