"""Which tokens begin a call: how a family's texts become the engine's `Decision`.

Knows a vocabulary and texts; no message and no model. A small model calls too often or too seldom; the logits of an
answer's first token show it.
"""

from __future__ import annotations

import functools

from server.engine.decision import Decision
from server.engine.sampling.constraint import Constraint
from server.engine.vocabulary import Vocabulary

REMEMBERED = 64  # tool sets whose tokens are kept


class DecisionTokens:
    """Finds tokens by their bytes. Build it once for a vocabulary. `thought_end` is the text that ends a thought."""

    def __init__(self, vocabulary: Vocabulary, thought_end: str | None) -> None:
        self._ids: dict[bytes, list[int]] = {}
        for token, piece in enumerate(vocabulary.pieces):
            self._ids.setdefault(piece, []).append(token)
        self._blank = frozenset(t for piece, ids in self._ids.items() if piece and not piece.strip() for t in ids)
        self._reopens = frozenset(self._ids.get((thought_end or "").encode(), ()))
        self._beginning_with = functools.lru_cache(REMEMBERED)(self._find)

    def decision(
        self,
        beginnings: tuple[str, ...],
        offset: float,
        commitment: Constraint | None = None,
        *,
        in_thought: bool = False,
        text_start: str = "",
    ) -> Decision:
        """`offset` for every token with which one of the texts may begin: those whose bytes a text starts with.

        Tokens with which `text_start` begins as well decide nothing.
        """
        return Decision(
            self._beginning_with(beginnings, text_start),
            offset,
            passes=self._blank,
            reopens=self._reopens,
            is_open=not in_thought,
            commitment=commitment,
        )

    def _find(self, beginnings: tuple[str, ...], text_start: str) -> tuple[int, ...]:
        tokens = {token for text in beginnings for token in self._prefixes(text)}
        return tuple(sorted(tokens - self._prefixes(text_start)))

    def _prefixes(self, text: str) -> set[int]:
        """The tokens with which a text begins."""
        data = text.encode()
        return {token for n in range(1, len(data) + 1) for token in self._ids.get(data[:n], ())}
