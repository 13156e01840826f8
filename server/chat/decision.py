"""Which tokens begin a call: how a family's texts become the engine's `Decision`.

Knows a vocabulary and texts; no message and no model. Source of the idea: a small model calls too often or too seldom,
and the logits of an answer's first token are where it shows.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.engine.sampling.constraint import Constraint
from server.engine.types import Decision, Vocabulary


class DecisionTokens:
    """Finds tokens by their bytes. Build it once for a vocabulary. `thought_end` is the text that ends a thought."""

    def __init__(self, vocabulary: Vocabulary, thought_end: str | None) -> None:
        self._ids: dict[bytes, list[int]] = {}
        for token, piece in enumerate(vocabulary.pieces):
            self._ids.setdefault(piece, []).append(token)
        self._blank = frozenset(t for piece, ids in self._ids.items() if piece and not piece.strip() for t in ids)
        self._reopens = frozenset(self._ids.get((thought_end or "").encode(), ()))

    def decision(self, beginnings: Iterable[str], offset: float, commitment: Constraint | None = None) -> Decision:
        """`offset` for every token with which one of the texts may begin: those whose bytes a text starts with."""
        tokens: set[int] = set()
        for text in beginnings:
            data = text.encode()
            for n in range(1, len(data) + 1):
                tokens.update(self._ids.get(data[:n], ()))
        return Decision(tuple(sorted(tokens)), offset, passes=self._blank, reopens=self._reopens, commitment=commitment)
