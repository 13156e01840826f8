"""What memory holds beyond the running sequences: a radix tree over token ids.

A node owns the cells of its edge in a slot of its own, so that a conversation's end can go while the tools prompt that
it began with stays. Knows tokens and the ledger of cells; no requests, no clock. The law: along every path positions
follow each other without a gap, children of a node begin with different tokens, and no slot belongs to two nodes.

Who goes first when cells are wanted: leaves before what they rest on, what nobody pinned before what somebody did, then
by use. A node's rank is the rank at which the last eviction took place plus the number of its uses (greedy dual by
frequency; a cell costs one token to compute again everywhere, so size and cost cancel out).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from server.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from server.engine.kv_cache.residency import Residency

# Shorter spans are not worth a slot.
MIN_NODE = 8
# Uses beyond these say nothing of the next one; without a bound an old favourite would never age.
MAX_USES = 32


class Node:
    """Tokens `start` … `stop` - 1 of every sequence that begins with the path to here; their cells are in `slot`."""

    __slots__ = ("children", "is_pinned", "n_uses", "parent", "rank", "slot", "start", "tokens")

    def __init__(self, parent: Node | None, slot: int, start: int, tokens: NDArray[np.int32]) -> None:
        self.parent = parent
        self.slot = slot
        self.start = start
        self.tokens = tokens
        self.children: dict[int, Node] = {}
        self.is_pinned = False
        self.n_uses = 0
        self.rank = 0

    @property
    def stop(self) -> int:
        """The position after its last token."""
        return self.start + len(self.tokens)


class Match(NamedTuple):
    """The nodes, first to last, that hold the first `n` tokens of a prompt; of the last perhaps a part only."""

    path: tuple[Node, ...]
    n: int


NO_MATCH = Match((), 0)


class PrefixTree:
    """At most `max_nodes` nodes; none of them where that is 0."""

    def __init__(self, residency: Residency, *, max_nodes: int) -> None:
        self._residency = residency
        self._max_nodes = max_nodes
        self._root = Node(None, -1, 0, np.empty(0, dtype=np.int32))
        self._nodes: set[Node] = set()
        self._clock = 0

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def n_tokens(self) -> int:
        """Tokens held, those that running sequences share included."""
        return sum(len(node.tokens) for node in self._nodes)

    def match(self, tokens: NDArray[np.int32]) -> Match:
        """The longest beginning of `tokens` that is here; nothing is marked as used."""
        path: list[Node] = []
        node, n = self._root, 0
        while n < len(tokens):
            child = node.children.get(int(tokens[n]))
            if child is None:
                break
            shared = common_prefix(child.tokens, tokens[n:])
            path.append(child)
            n += shared
            if shared < len(child.tokens):
                break
            node = child
        return Match(tuple(path), n)

    def copy_to(self, match: Match, target: int) -> int:
        """Share the first `match.n` tokens with the empty slot `target`; how many it then has.

        Fewer where a sliding window has lost cells that the next token needs.
        """
        for node in match.path:
            if not self._residency.share(node.slot, target, min(node.stop, match.n)):
                return self._residency.stop(target)
            self._use(node)
        return match.n

    def adopt(self, slot: int, tokens: NDArray[np.int32], n_pinned: int) -> None:
        """Take over a slot that holds `tokens` from position 0 on, or close it if all of that is here.

        The first `n_pinned` tokens stay longest.
        """
        match = self.match(tokens)
        for node in match.path:
            self._use(node)
        parent = self._branch(match)
        is_kept = parent is not None and len(tokens) - match.n >= MIN_NODE and self._has_room(match.path)
        if parent is None or not is_kept:
            self._residency.close_slot(slot)
        else:
            self._graft(parent, slot, tokens)
        self._pin(tokens[:n_pinned])

    def evict(self, spared: tuple[Node, ...] = ()) -> bool:
        """Drop the leaf that is worth least, except those of `spared`. False if there is none."""
        leaves = [node for node in self._nodes if not node.children and node not in spared]
        if not leaves:
            return False
        victim = min(leaves, key=lambda node: (node.is_pinned, node.rank, node.slot))
        self._clock = max(self._clock, victim.rank)
        self._detach(victim)
        return True

    def trim(self, match: Match) -> bool:
        """Drop what the last node of `match` holds beyond it. False if there is nothing, or others rest on it."""
        if not match.path or match.path[-1].stop == match.n or match.path[-1].children:
            return False
        node = match.path[-1]
        if self._residency.trim(node.slot, match.n):
            node.tokens = node.tokens[: match.n - node.start]
        else:
            self._detach(node)
        return True

    def reclaimable(self, spared: Match) -> int:
        """How many cells would be free if everything went but what `spared` matched, beyond those that are."""
        surplus = spared.path[-1].stop - spared.n if spared.path else 0
        n = self._residency.reclaimable(node.slot for node in self._nodes if node not in spared.path)
        return n + (min(surplus, self._residency.reclaimable([spared.path[-1].slot])) if surplus else 0)

    def spans(self) -> dict[int, tuple[int, int]]:
        """The positions that each slot of the tree should hold."""
        return {node.slot: (node.start, node.stop) for node in self._nodes}

    def check(self) -> None:
        """Raise `EngineError` unless the tree is one."""
        found = list(_descendants(self._root))
        if set(found) != self._nodes or len(found) != len(self._nodes):
            raise EngineError(f"the prefix tree lists {len(self._nodes)} nodes and reaches {len(found)}")
        for node in found:
            parent = node.parent
            if parent is None or parent.children.get(int(node.tokens[0])) is not node or node.start != parent.stop:
                raise EngineError(f"the prefix at {node.start} … {node.stop} does not follow what it rests on")
        if len({node.slot for node in found}) != len(found):
            raise EngineError("a slot belongs to two prefixes")

    def _branch(self, match: Match) -> Node | None:
        """The node that ends exactly where `match` does; None where the model or the room does not allow one."""
        if not match.path:
            return self._root
        last = match.path[-1]
        if last.stop == match.n:
            return last
        return last if self._split(last, match.n, match.path) else None

    def _graft(self, parent: Node, slot: int, tokens: NDArray[np.int32]) -> None:
        """Attach what `slot` holds beyond `parent`; a leaf that nothing else rests on becomes longer instead."""
        grows = parent.parent is not None and not parent.children and not parent.is_pinned
        start = parent.start if grows else parent.stop
        if start and not self._residency.drop_front(slot, start):
            self._residency.close_slot(slot)
            return
        base = parent.parent if grows else parent
        assert base is not None
        if grows:
            self._detach(parent)
        node = self._attach(base, slot, start, tokens[start:].copy())
        node.n_uses = parent.n_uses if grows else 0
        self._use(node)

    def _split(self, node: Node, position: int, spared: tuple[Node, ...]) -> bool:
        """Give what `node` has from `position` on to a child of its own."""
        if not self._has_room(spared):
            return False
        slot = self._residency.open_slot(position)
        if not self._residency.share(node.slot, slot, node.stop) or not self._residency.trim(node.slot, position):
            self._residency.close_slot(slot)
            return False
        children, node.children = node.children, {}
        tail, node.tokens = node.tokens[position - node.start :], node.tokens[: position - node.start]
        child = self._attach(node, slot, position, tail)
        child.children, child.rank, child.n_uses, child.is_pinned = children, node.rank, node.n_uses, node.is_pinned
        for grandchild in children.values():
            grandchild.parent = child
        return True

    def _pin(self, tokens: NDArray[np.int32]) -> None:
        """Pin what is here of `tokens`, and no more."""
        match = self.match(tokens)
        for node in match.path:
            if node.stop <= match.n or self._split(node, match.n, match.path):
                node.is_pinned = True

    def _has_room(self, spared: tuple[Node, ...]) -> bool:
        """Make place for one more node."""
        while len(self._nodes) >= self._max_nodes or not self._residency.has_free_slot:
            if not self.evict(spared):
                return False
        return True

    def _attach(self, parent: Node, slot: int, start: int, tokens: NDArray[np.int32]) -> Node:
        node = Node(parent, slot, start, tokens)
        parent.children[int(tokens[0])] = node
        self._nodes.add(node)
        return node

    def _detach(self, node: Node) -> None:
        assert node.parent is not None
        assert not node.children, "others rest on it"
        del node.parent.children[int(node.tokens[0])]
        self._nodes.remove(node)
        self._residency.close_slot(node.slot)

    def _use(self, node: Node) -> None:
        node.n_uses = min(node.n_uses + 1, MAX_USES)
        node.rank = self._clock + node.n_uses


def common_prefix(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """The number of equal tokens at the beginning of both."""
    n = min(len(a), len(b))
    if n == 0:
        return 0
    differs = a[:n] != b[:n]
    first = int(differs.argmax())
    return first if differs[first] else n


def _descendants(node: Node) -> Iterator[Node]:
    for child in node.children.values():
        yield child
        yield from _descendants(child)
