"""Which layers a rule means: `first 1/4, last 1/4`, `0-3, 7, 30-31`, `more bits`, `depth<=0.2`.

Pure. Terms are separated by commas; a layer is meant if one of them means it. With n layers, `first a/b` is those below
n*a//b and `last a/b` those from n*(b-a)//b on, in whole numbers as llama.cpp divides; `more bits` is llama.cpp's own
choice for its `_M` mixes; `depth` is layer/(n-1), 0 for the first and 1 for the last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from quantizer.errors import RecipeError
from quantizer.planning.stock import more_bits

_SHARE = re.compile(r"(first|last) (\d{1,4})/(\d{1,4})")
_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")
_DEPTH = re.compile(r"depth *(<=|>=|<|>) *(\d\.?\d{0,6})")
_COMPARE: Mapping[str, Callable[[Fraction, Fraction], bool]] = {
    "<=": lambda depth, bound: depth <= bound,
    ">=": lambda depth, bound: depth >= bound,
    "<": lambda depth, bound: depth < bound,
    ">": lambda depth, bound: depth > bound,
}


@dataclass(frozen=True, slots=True)
class Layers:
    """A set of layers of a model of any depth. `text` is how the recipe says it."""

    text: str
    _terms: tuple[Callable[[int, int], bool], ...] = field(compare=False, repr=False)

    def contains(self, layer: int, n_layer: int) -> bool:
        """Whether the layer, counted from 0, of a model with `n_layer` layers is meant."""
        return any(term(layer, n_layer) for term in self._terms)


def parse_layers(text: str) -> Layers:
    """The layers that `text` means. Raises `RecipeError` naming the term that cannot be read."""
    return Layers(text, tuple(_term(term.strip()) for term in text.split(",")))


def _term(text: str) -> Callable[[int, int], bool]:
    if text == "more bits":
        return more_bits
    if match := _SHARE.fullmatch(text):
        return _share(match[1], int(match[2]), int(match[3]), text)
    if match := _RANGE.fullmatch(text):
        low, high = int(match[1]), int(match[2] or match[1])
        return lambda layer, _: low <= layer <= high
    if match := _DEPTH.fullmatch(text):
        compare, bound = _COMPARE[match[1]], Fraction(match[2])
        return lambda layer, n_layer: compare(Fraction(layer, max(1, n_layer - 1)), bound)
    raise RecipeError(
        f"layers {text!r} cannot be read; expected terms like 'first 1/4', 'last 1/8', '7', '0-3', 'more bits', "
        f"'depth<=0.2'"
    )


def _share(end: str, part: int, whole: int, text: str) -> Callable[[int, int], bool]:
    if not 0 < part <= whole:
        raise RecipeError(f"layers {text!r} is no part of the whole")
    if end == "first":
        return lambda layer, n_layer: layer < n_layer * part // whole
    return lambda layer, n_layer: layer >= n_layer * (whole - part) // whole
