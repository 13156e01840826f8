"""Text as the model's tokens and back, for those who ask about tokens and nothing else.

Knows the vocabulary, no request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.engine.vocabulary import Vocabulary


class TextTokens:
    """The tokens of one model."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    @property
    def n_vocab(self) -> int:
        """How many ids there are."""
        return len(self._vocabulary.pieces)

    def of(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """The ids of a text; with `add_special` the token in front that the model wants before every text, if any."""
        ids = self._vocabulary.tokenize(text.encode(), parse_special=parse_special)
        bos = self._vocabulary.bos
        return [*self._vocabulary.tokenize(bos.encode(), parse_special=True), *ids] if add_special and bos else ids

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each token, markers as their text. Raises `IndexError` with the first id that is none."""
        pieces = self._vocabulary.pieces
        if unknown := [token for token in tokens if not 0 <= token < len(pieces)]:
            raise IndexError(unknown[0])
        return [pieces[token] for token in tokens]
