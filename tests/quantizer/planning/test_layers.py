"""Layers of a rule: llama.cpp's whole-number divisions, and refusals that name the term."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizer.errors import RecipeError
from quantizer.planning.layers import parse_layers


def layers(text, n_layer):
    found = parse_layers(text)
    return [layer for layer in range(n_layer) if found.contains(layer, n_layer)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first 1/4", [0, 1]),
        ("last 1/4", [7, 8, 9]),
        ("first 1/4, last 1/4", [0, 1, 7, 8, 9]),
        ("3", [3]),
        ("3-5, 9", [3, 4, 5, 9]),
        ("depth<=0.2, depth>=0.8", [0, 1, 8, 9]),
        ("depth<=0, depth>=1", [0, 9]),
        ("depth<0.12", [0, 1]),
        ("more bits", [0, 3, 6, 8, 9]),
    ],
)
def test_terms_mean_layers_of_a_model_of_ten(text, expected):
    assert layers(text, 10) == expected


@given(n_layer=st.integers(1, 200), part=st.integers(1, 9), more=st.integers(0, 9))
def test_first_and_last_are_the_whole_numbers_of_c(n_layer, part, more):
    whole = part + more
    assert layers(f"first {part}/{whole}", n_layer) == list(range(n_layer * part // whole))
    assert layers(f"last {part}/{whole}", n_layer) == list(range(n_layer * (whole - part) // whole, n_layer))


@pytest.mark.parametrize("text", ["", "first", "first 1/0", "first 5/4", "a-b", "depth~1", "-1", "1-2-3", "first 1/4,"])
def test_what_is_no_layer_is_refused_by_name(text):
    with pytest.raises(RecipeError, match="layers"):
        parse_layers(text)
