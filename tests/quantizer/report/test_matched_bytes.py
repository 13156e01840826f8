"""Which file beats which, and what a recipe did beyond buying bytes."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizer.errors import DataError
from quantizer.report.matched_bytes import Point, Verdict, compare, dominators

N_CHUNK = 12
# Chunks differ tenfold in how hard they are, which is what pairing them takes out.
HARDNESS = [0.3 * 1.2**i for i in range(N_CHUNK)]


def point(name, size, kld, wobble=0.0):
    """A file that loses `kld` on the mean chunk; `wobble` is how far chunks go their own way."""
    chunks = [kld * hard * (1 + wobble * (-1) ** i) for i, hard in enumerate(HARDNESS)]
    scale = kld * N_CHUNK / sum(chunks)
    return Point(name, size, tuple(scale * each for each in chunks))


STOCK = [point("Q4_0", 100, 0.16), point("Q5_0", 120, 0.04), point("Q8_0", 160, 0.01)]
costs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12)


@given(costs)
def test_what_is_beaten_is_beaten_by_one_that_is_no_worse_in_anything(found):
    for each, by in zip(found, dominators(found), strict=True):
        others = [other for other in found if other != each and other[0] <= each[0] and other[1] <= each[1]]
        assert (by is None) == (not others)
        if by is not None:
            assert found[by] in others


@given(costs.filter(bool))
def test_the_front_falls_from_left_to_right(found):
    front = sorted({each for each, by in zip(found, dominators(found), strict=True) if by is None})
    assert front
    assert all(left[1] > right[1] for left, right in pairwise(front))


def test_between_stock_files_the_line_is_straight_in_the_logarithm():
    found = compare(point("mine", 110, 0.05), STOCK)
    assert found.neighbours == ("Q4_0", "Q5_0")
    assert found.expected == pytest.approx(math.sqrt(0.16 * 0.04))
    assert found.log_ratio == pytest.approx(math.log(0.05 / 0.08))
    assert found.verdict is Verdict.BETTER


def test_a_file_on_the_line_only_bought_bytes():
    found = compare(point("mine", 110, 0.0801, wobble=0.1), STOCK)
    assert found.error > 0
    assert found.verdict is Verdict.ONLY_BYTES


def test_a_file_above_the_line_is_told_that_stock_files_buy_better():
    assert compare(point("mine", 110, 0.12), STOCK).verdict is Verdict.WORSE


def test_hard_chunks_are_hard_for_all_and_add_no_error():
    """Without pairing, chunks that differ tenfold would hide a difference of a tenth."""
    found = compare(point("mine", 110, 0.072), STOCK)
    assert found.error == pytest.approx(0, abs=1e-9)
    assert found.verdict is Verdict.BETTER


def test_a_small_gain_within_the_error_is_none():
    assert compare(point("mine", 110, 0.079, wobble=0.5), STOCK).verdict is Verdict.ONLY_BYTES


def test_a_stock_file_that_another_beats_is_no_yardstick():
    beaten = point("Q4_1", 111, 0.5)
    assert compare(point("mine", 111, 0.2), [*STOCK, beaten]).verdict is Verdict.WORSE


@pytest.mark.parametrize("size", [90, 170])
def test_beyond_the_stock_files_nothing_is_said(size):
    found = compare(point("mine", size, 0.05), STOCK)
    assert found.verdict is Verdict.OUTSIDE
    assert found.expected is None


def test_at_a_stock_files_own_size_that_file_is_the_line():
    found = compare(point("mine", 120, 0.02), STOCK)
    assert found.neighbours == ("Q5_0",)
    assert found.expected == pytest.approx(0.04)


def test_one_chunk_has_no_error_and_gives_no_verdict():
    stock = [Point("a", 100, (0.2,)), Point("b", 200, (0.1,))]
    found = compare(Point("mine", 150, (0.01,)), stock)
    assert found.error is None
    assert found.verdict is Verdict.UNKNOWN


def test_files_measured_over_other_chunks_are_not_compared():
    with pytest.raises(DataError, match="same chunks"):
        compare(Point("mine", 110, (0.1, 0.2)), STOCK)
