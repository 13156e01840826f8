"""The radix tree of prefixes against a plain list of what was adopted, on a runner that checks every span."""

import numpy as np
from fake_runner import FakeRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.kv_cache.prefix_tree import MIN_NODE, PrefixTree, common_prefix
from server.engine.kv_cache.residency import Residency
from server.engine.runner import Run

PIECES = st.lists(st.sampled_from("ab"), min_size=1, max_size=6)


def tokens_of(pieces: list[str]) -> np.ndarray:
    """Every letter is nine tokens, so that branches lie inside and at the ends of nodes."""
    return np.array([ord(letter) for letter in pieces for _ in range(9)], dtype=np.int32)


class Bench:
    """A tree over a runner: sequences are computed, adopted and looked up as the scheduler does."""

    def __init__(self, *, max_nodes: int = 8, n_ctx: int = 4096, can_trim: bool = True) -> None:
        self.runner = FakeRunner(n_ctx=n_ctx, n_batch=512, n_slots=max_nodes + 2, can_trim=can_trim)
        self.residency = Residency(self.runner)
        self.tree = PrefixTree(self.residency, max_nodes=max_nodes)

    def compute(self, tokens: np.ndarray) -> tuple[int, int]:
        """A slot with all of `tokens`, and how many of them were there before."""
        slot = self.residency.open_slot()
        n = self.tree.copy_to(self.tree.match(tokens[:-1]), slot)
        self.residency.extend(slot, len(tokens) - n)
        self.runner.run([Run(slot, n, tokens[n:], 1)])
        return slot, n

    def adopt(self, tokens: np.ndarray, n_pinned: int = 0) -> int:
        slot, n = self.compute(tokens)
        self.tree.adopt(slot, tokens, n_pinned)
        self.check()
        return n

    def check(self) -> None:
        self.tree.check()
        self.residency.check(self.tree.spans())


@settings(deadline=None)
@given(st.lists(st.tuples(PIECES, st.integers(0, 60)), min_size=1, max_size=12), PIECES)
def test_what_was_adopted_is_found_as_far_as_it_goes(adopted: list[tuple[list[str], int]], wanted: list[str]) -> None:
    bench = Bench(max_nodes=64)
    for pieces, n_pinned in adopted:
        bench.adopt(tokens_of(pieces), n_pinned)
    known = max(common_prefix(tokens_of(pieces), tokens_of(wanted)) for pieces, _ in adopted)
    match = bench.tree.match(tokens_of(wanted))
    assert known - MIN_NODE < match.n <= known
    slot, n_shared = bench.compute(tokens_of(wanted))  # the runner refuses positions that do not follow
    assert n_shared == min(match.n, len(tokens_of(wanted)) - 1)
    bench.residency.close_slot(slot)
    bench.check()


@settings(deadline=None)
@given(
    st.lists(st.tuples(PIECES, st.integers(0, 60), st.integers(0, 3)), min_size=1, max_size=20),
    st.integers(1, 6),
    st.booleans(),
)
def test_no_cell_leaks_whatever_comes_and_goes(
    steps: list[tuple[list[str], int, int]], max_nodes: int, can_trim: bool
) -> None:
    bench = Bench(max_nodes=max_nodes, can_trim=can_trim)
    for pieces, n_pinned, n_evicted in steps:
        bench.adopt(tokens_of(pieces), n_pinned)
        assert len(bench.tree) <= max_nodes
        for _ in range(n_evicted):
            bench.tree.evict()
            bench.check()
        assert bench.runner.n_used == bench.runner.n_ctx - bench.residency.n_free
    while bench.tree.evict():
        bench.check()
    assert bench.residency.n_free == bench.runner.n_ctx
    assert bench.runner.n_used == 0


def test_a_conversation_goes_before_the_tools_that_it_began_with() -> None:
    bench = Bench()
    tools = tokens_of(list("abab"))
    bench.adopt(np.concatenate([tools, tokens_of(list("aa"))]), n_pinned=len(tools))
    bench.adopt(np.concatenate([tools, tokens_of(list("ba"))]), n_pinned=len(tools))
    bench.adopt(tokens_of(list("bbbb")))
    assert len(bench.tree) == 4
    for _ in range(3):
        bench.tree.evict()
    assert bench.tree.match(np.concatenate([tools, tools])).n == len(tools)
    assert len(bench.tree) == 1


def test_a_used_prefix_outlives_an_unused_one_and_old_fame_fades() -> None:
    bench = Bench(max_nodes=2)
    famous = tokens_of(list("bbbb"))
    for _ in range(5):
        bench.adopt(famous)
    for letter in "cd":
        bench.adopt(tokens_of(list(letter * 4)))
    assert bench.tree.match(famous).n == len(famous)
    for i in range(200):
        bench.adopt(tokens_of(list("abab")) + 1000 + i)
    assert bench.tree.match(famous).n == 0


def test_a_growing_conversation_is_one_node_and_a_pinned_beginning_another() -> None:
    bench = Bench()
    talk = tokens_of(list("abbaab"))
    for n in (27, 36, 45, 54):
        assert bench.adopt(talk[:n], n_pinned=18) == (n - 9 if n > 27 else 0)
    assert sorted(bench.tree.spans().values()) == [(0, 18), (18, 54)]


def test_shortening_frees_what_lies_beyond_a_match() -> None:
    bench = Bench()
    talk = tokens_of(list("abba"))
    bench.adopt(talk)
    match = bench.tree.match(talk[:20])
    assert bench.tree.reclaimable(match) == 16
    assert bench.tree.trim(match)
    assert bench.runner.n_ctx - bench.residency.n_free == 20
    assert not bench.tree.trim(bench.tree.match(talk))
    bench.check()


def test_a_tree_without_room_closes_what_it_is_given() -> None:
    bench = Bench(max_nodes=0)
    bench.adopt(tokens_of(list("abab")))
    assert (len(bench.tree), bench.residency.n_free) == (0, bench.runner.n_ctx)
