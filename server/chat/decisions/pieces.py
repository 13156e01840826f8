"""Tokens cut where one choice of an answer ends and the next begins.

Knows texts and probabilities; no call and no name. A token may close a value and go on to the next key at once. The
law: what is asked of a token is asked of all the tokens it was chosen from: the probability of its first characters is
the sum over those that begin so, and that of the rest is among those that go on from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from server.engine.types import Alternative, TokenChoice


@dataclass(frozen=True, slots=True)
class Other:
    """What might have come in a piece's place, from the piece's first character on."""

    text: str
    p: float
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """What a token wrote within one choice, from character `at` on: its probability, and what else might have come."""

    at: int
    text: str
    p: float
    others: tuple[Other, ...] = ()
    is_end: bool = False

    @property
    def stop(self) -> int:
        """Where its text ends."""
        return self.at + len(self.text)


def decided_pieces(text: str, choices: Sequence[TokenChoice], bounds: Iterable[int]) -> list[Piece]:
    """The tokens that were chosen and not forced, in order, none of them across one of `bounds`."""
    cuts = sorted(set(bounds))
    found: list[Piece] = []
    for i, choice in enumerate(choices):
        if choice.is_forced:
            continue
        stop = choices[i + 1].start if i + 1 < len(choices) else len(text)
        found += _cut(choice, text[choice.start : stop], [cut - choice.start for cut in cuts])
    return found


def product(pieces: Iterable[Piece]) -> float:
    """The probability of all of them."""
    return math.prod(piece.p for piece in pieces)


def _cut(choice: TokenChoice, text: str, cuts: Sequence[int]) -> Iterator[Piece]:
    """The pieces of one token; one if its bytes are not whole characters, which no choice ends within."""
    others = [_other(other) for other in choice.others]
    p = math.exp(choice.logprob)
    inside = [cut for cut in cuts if 0 < cut < len(text)] if choice.piece == text.encode() else []
    begin, known = 0, 1.0  # the probability of all candidates that go on from `begin`
    for cut in inside:
        alike = [other for other in others if other.text.startswith(text[:cut])]
        same = p + sum(other.p for other in alike)
        differing = tuple(_from(other, begin, known) for other in others if other not in alike)
        yield Piece(choice.start + begin, text[begin:cut], min(same / known, 1.0), differing)
        others = [other for other in alike if len(other.text) > cut]
        begin, known = cut, p + sum(other.p for other in others)
    rest = tuple(_from(other, begin, known) for other in others)
    yield Piece(choice.start + begin, text[begin:], min(p / known, 1.0) if known else 1.0, rest, choice.is_end)


def _other(other: Alternative) -> Other:
    return Other(other.piece.decode("utf-8", "replace"), math.exp(other.logprob), other.is_end)


def _from(other: Other, begin: int, known: float) -> Other:
    return Other(other.text[begin:], other.p / known, other.is_end)
