"""A text as chunks of tokens, cut as llama-imatrix and llama-perplexity cut it.

Knows a vocabulary; no model. The law: chunks are disjoint and whole; the text's tokens are those the vocabulary writes,
and where it begins texts with a token of its own, every chunk's first token is replaced by that one.
Source: `tools/perplexity/perplexity.cpp`, `tools/imatrix/imatrix.cpp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from quantizer.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from server.llama.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Chunks:
    """Tokens, shape `[n_chunk, n_ctx]`, as the text has them; `bos` replaces the first of each when evaluated.

    `text_sha256` is the hash of the whole text in UTF-8, where it is known.
    """

    tokens: NDArray[np.int32]
    bos: int | None
    text_sha256: str | None = None

    @property
    def n_chunk(self) -> int:
        """The number of chunks."""
        return len(self.tokens)

    @property
    def n_ctx(self) -> int:
        """The number of tokens in each."""
        return int(self.tokens.shape[1])

    @property
    def first_scored(self) -> int:
        """The position from which predictions count: the second half of a chunk has some context to go by."""
        return self.n_ctx // 2

    @property
    def n_scored(self) -> int:
        """The number of predictions that count in a chunk: all from `first_scored` on that have a next token."""
        return self.n_ctx - 1 - self.first_scored

    @property
    def key(self) -> str:
        """A hash of the tokens and of the way they are evaluated."""
        return sha256(f"{self.bos} {self.tokens.shape} ".encode() + self.tokens.tobytes()).hexdigest()

    def evaluated(self, i: int) -> NDArray[np.int32]:
        """The tokens of chunk `i` as the model gets them, shape `[n_ctx]`."""
        tokens: NDArray[np.int32] = self.tokens[i]
        if self.bos is not None:
            tokens = tokens.copy()
            tokens[0] = self.bos
        return tokens

    def targets(self, i: int) -> NDArray[np.int32]:
        """The tokens that chunk `i`'s scored positions should predict, shape `[n_scored]`."""
        targets: NDArray[np.int32] = self.tokens[i, self.first_scored + 1 :]
        return targets


def chunk_text(
    vocabulary: Vocabulary,
    text: str,
    *,
    n_ctx: int = 512,
    max_chunks: int | None = None,
    parse_special: bool = False,
    name: str = "the text",
) -> Chunks:
    """The first `max_chunks` chunks of `n_ctx` tokens of a text; None is all.

    With `parse_special` the texts of special tokens become those tokens. Raises `DataError` if `n_ctx` is too small to
    score anything, or the text has fewer tokens than two chunks, which llama.cpp's tools refuse too.
    """
    if n_ctx < 4:
        raise DataError(f"chunks of {n_ctx} tokens score nothing: choose a context of at least 4, 512 as a rule")
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{name} holds half of a surrogate pair at character {error.start}: remove it") from error
    tokens = np.asarray(vocabulary.tokenize_document(data, parse_special=parse_special), dtype=np.int32)
    if len(tokens) < 2 * n_ctx:
        raise DataError(
            f"{name} has {len(tokens)} tokens; at least {2 * n_ctx} are needed for chunks of {n_ctx} "
            f"(give more text, or a smaller context)"
        )
    n_chunk = len(tokens) // n_ctx
    if max_chunks is not None:
        if max_chunks < 1:
            raise DataError(f"{max_chunks} chunks of {name} were asked for; 1 is the least")
        n_chunk = min(n_chunk, max_chunks)
    return Chunks(tokens[: n_chunk * n_ctx].reshape(n_chunk, n_ctx), vocabulary.bos_token, sha256(data).hexdigest())
