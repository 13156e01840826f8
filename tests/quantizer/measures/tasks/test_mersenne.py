from collections import Counter

import pytest

from quantizer.measures.tasks.mersenne import Mersenne, draw_and_swap, draw_in_turn


def test_the_generator_is_the_standards():
    """[rand.predef]: the 10000th number of a default-constructed mt19937, whose seed is 5489."""
    rng = Mersenne(5489)
    assert [rng.next() for _ in range(10_000)][-1] == 4123659995


def test_the_first_number_of_seed_one_is_cpps():
    assert Mersenne(1).next() == 1791095845


@pytest.mark.parametrize("draw", [draw_in_turn, draw_and_swap])
def test_drawing_all_gives_each_once(draw):
    assert sorted(draw(97, 97)) == list(range(97))
    assert draw(97, 10) == draw(97, 97)[:10]


def test_uniform_numbers_are_uniform():
    rng = Mersenne(3)
    counts = Counter(rng.uniform(5) for _ in range(20_000))
    assert set(counts) == set(range(5))
    assert max(counts.values()) < 1.1 * min(counts.values())
