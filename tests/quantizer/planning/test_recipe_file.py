"""Recipe files: what they may say, and that a refusal names file, line, recipe and key."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizer.errors import RecipeError
from quantizer.planning.recipe import Activations, Mixture, OnTrouble
from quantizer.planning.recipe_file import builtin_recipes, find_recipes, read_recipes
from quantizer.planning.types import FILE_TYPES, TARGETS

GOOD = """
[mine]
base = "Q4_K_M"
mixture = "pure"
imatrix = "required"
on_misaligned = "substitute"
on_missing_imatrix = "substitute"
rules = [
  { kind = ["token_embd", "output"], type = "Q8_0" },
  { match = 'ffn_(up|gate)', layers = "first 1/4", type = "q6_k" },
  { kind = "attn_v", statistic = "zd", top = 0.5, type = "keep" },
]

[smaller]
extends = "mine"
base = "Q3_K_S"

[gate]
extends = "dynamicgate3-IQ2_XXS"
start = "IQ3_XXS"
"""


TWO_RULES = """[r]
base = "Q4_0"
rules = [
  { kind = "a", type = "Q4_0" },
  { kind = "b", type = "Q4" },
]
"""


def write(tmp_path, text):
    path = tmp_path / "recipes.toml"
    path.write_text(text)
    return path


def test_a_recipe_says_what_it_says(tmp_path):
    recipes = read_recipes(write(tmp_path, GOOD))
    mine, smaller = recipes["mine"], recipes["smaller"]
    assert (mine.base.name, mine.mixture, mine.imatrix) == ("Q4_K_M", Mixture.PURE, Activations.REQUIRED)
    assert mine.on_misaligned is mine.on_missing_imatrix is OnTrouble.SUBSTITUTE
    assert [rule.type for rule in mine.rules] == [TARGETS["Q8_0"], TARGETS["Q6_K"], None]
    assert (smaller.base.name, smaller.rules, smaller.name) == ("Q3_K_S", mine.rules, "smaller")
    assert recipes["gate"].bumps == builtin_recipes()["dynamicgate3-IQ2_XXS"].bumps


def test_a_user_recipe_refuses_what_cannot_be_unless_it_says_otherwise(tmp_path):
    (recipe,) = read_recipes(write(tmp_path, '[r]\nbase = "Q4_K_M"\n')).values()
    assert recipe.on_misaligned is recipe.on_missing_imatrix is OnTrouble.REFUSE


def test_a_digest_follows_what_is_written_and_what_it_extends(tmp_path):
    before = read_recipes(write(tmp_path, GOOD))
    after = read_recipes(write(tmp_path, GOOD.replace('type = "q6_k"', 'type = "q5_k"')))
    assert before["mine"].digest != after["mine"].digest
    assert before["smaller"].digest != after["smaller"].digest
    assert before["gate"].digest == after["gate"].digest


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[r]\nbase = "Q9"\n', 2, ["r: base", "'Q9'", "Q4_K_M"]),
        ('[r]\nmixture = "pure"\n', 1, ["base", "missing"]),
        ('[r]\nbase = "Q4_0"\nmixtur = "pure"\n', 3, ["mixtur", "no such key"]),
        ('[r]\nbase = "Q4_0"\nmixture = "mixed"\n', 3, ["mixture", "'mixed'", "pure"]),
        (TWO_RULES, 5, ["rules[2].type", "'Q4'"]),
        ('[r]\nbase = "Q4_0"\nrules = [{ type = "Q4_0" }]\n', 3, ["rules[1]", "selects nothing"]),
        ('[r]\nbase = "Q4_0"\nrules = [{ kind = "a" }]\n', 3, ["rules[1]", "needs a type"]),
        ('[r]\nbase = "Q4_0"\nrules = [{ knd = "a", type = "Q4_0" }]\n', 3, ["'knd'", "kind"]),
        ('[r]\nbase = "Q4_0"\nrules = [{ match = "(", type = "Q4_0" }]\n', 3, ["match", "regular expression"]),
        ('[r]\nbase = "Q4_0"\nrules = [{ layers = "some", type = "Q4_0" }]\n', 3, ["layers", "'some'"]),
        ('[r]\nbase = "Q4_0"\nrules = [{ statistic = "zd", type = "Q4_0" }]\n', 3, ["exactly one of top"]),
        ('[r]\nbase = "Q4_0"\nrules = [{ statistic = "zd", top = 2, type = "Q4_0" }]\n', 3, ["top", "share"]),
        ('[r]\nbase = "Q4_0"\nrules = "all"\n', 3, ["rules", "list of tables"]),
        ('[r]\nbase = "Q4_0"\nbumps = [{ kind = "a", by = 1 }]\n', 3, ["ladder", "start"]),
        ('[r]\nbase = "Q4_0"\nbumps = [{ kind = "a", by = "1" }]\n', 3, ["bumps[1].by", "whole number"]),
        ('[r]\nbase = "Q4_0"\nladder = ["Q4_0", "Q4_0"]\n', 3, ["ladder", "twice"]),
        ('[r]\nextends = "nobody"\n', 2, ["extends", "'nobody'"]),
        ("[r]\nbase = 4\n", 2, ["base", "expected a text"]),
        ('[q]\nbase = "Q4_0"\n[r]\nbase = "Q4"\n', 4, ["r: base"]),
    ],
)
def test_a_refusal_names_the_file_the_line_and_the_key(tmp_path, text, line, words):
    path = write(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        read_recipes(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: "), message
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "base = 1", "[r", "[r]\nbase = 'Q4_0'\nbase = 'Q4_1'"])
def test_what_is_no_recipe_file_is_refused(tmp_path, text):
    with pytest.raises(RecipeError, match=r"recipes\.toml"):
        read_recipes(write(tmp_path, text))


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipes(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipes(tmp_path / "binary.toml")


@given(st.integers(0, len(GOOD) - 1), st.characters(max_codepoint=126))
def test_a_damaged_file_is_a_recipe_or_a_refusal(tmp_path_factory, at, letter):
    path = write(tmp_path_factory.mktemp("damaged"), GOOD[:at] + letter + GOOD[at + 1 :])
    with contextlib.suppress(RecipeError):  # anything else is a failure
        assert read_recipes(path)


def test_a_name_is_a_built_in_recipe_a_file_or_one_of_a_file(tmp_path):
    path = write(tmp_path, GOOD)
    assert [recipe.name for recipe in find_recipes("q4_k_m")] == ["Q4_K_M"]
    assert [recipe.name for recipe in find_recipes(str(path))] == ["mine", "smaller", "gate"]
    assert [recipe.name for recipe in find_recipes(f"{path}:smaller")] == ["smaller"]
    with pytest.raises(RecipeError, match="mine, smaller, gate"):
        find_recipes(f"{path}:larger")
    with pytest.raises(RecipeError, match="functiongate-quantize recipes"):
        find_recipes("Q4_K_XXL")


def test_the_built_in_sets_are_those_of_the_cards():
    recipes = builtin_recipes()
    assert FILE_TYPES.keys() <= recipes.keys()
    card = {"bf16", "f16", "bf16-q8_0", "f16-q8_0", "q4_k", "q4_k_s", "q6_k", "q8_0", "iq3_xs", "iq3_m", "q4_0"}
    assert {f"card-{name}" for name in card} <= recipes.keys()
    labels = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"}
    assert {f"dynamicgate{generation}-{label}" for generation in (1, 3) for label in labels} <= recipes.keys()
    assert {"Q2_K_L", "Q3_K_XL", "Q4_K_L", "Q5_K_L", "Q6_K_L"} <= recipes.keys()
