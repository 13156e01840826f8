"""Which tool: the probabilities of tokens inside a name, summed to those of the names.

Knows names and pieces. Tokens that lead to the same names are one branch, however the name is spelled in tokens. The
law: the chosen name's probability is exact as far as the runners-up are told; the others have that of the branch in
which they left, shared by all names of that branch, because nobody looked further.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from server.chat.decisions.pieces import Piece


@dataclass(frozen=True, slots=True)
class Branch:
    """Names that were left together, in order."""

    names: tuple[str, ...]
    p: float


def name_odds(
    pieces: Iterable[Piece], start: int, name: str, after: str, names: Collection[str]
) -> tuple[float, tuple[Branch, ...]]:
    """The probability of the chosen name among `names`, and the branches that were left, likeliest first.

    `pieces` are those of the name, which begins at character `start`; `after` is the character that ends it.
    """
    reach = 1.0
    left: dict[frozenset[str], float] = {}
    for piece in pieces:
        so_far = (name + after)[: piece.at - start]
        taken = _led_to(so_far + piece.text, after, names) | {name}
        branch = piece.p
        for other in piece.others:
            led_to = frozenset() if other.is_end else _led_to(so_far + other.text, after, names)
            if led_to == taken:
                branch += other.p
            elif led_to and name not in led_to:
                left[led_to] = left.get(led_to, 0.0) + reach * other.p
        reach *= min(branch, 1.0)
        if taken == {name}:
            break  # every way on spells this name
    branches = sorted(left.items(), key=lambda item: (-item[1], sorted(item[0])))
    return reach, tuple(Branch(tuple(sorted(names)), p) for names, p in branches)


def _led_to(text: str, after: str, names: Collection[str]) -> frozenset[str]:
    """The names that an answer may yet call that has written `text` since the name began."""
    return frozenset(name for name in names if (name + after).startswith(text) or text.startswith(name + after))
