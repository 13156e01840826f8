"""Texts become vectors: tokenized here, evaluated by the embedder.

The plain sibling of `server.chat.completion`. Knows tokens; no HTTP and no pointer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from chat_templates import Prompt
from server.chat.prompt import tokenize_prompt
from server.errors import ContextLengthError, RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from server.engine.embedder import Embedder
    from server.engine.vocabulary import Vocabulary

Text: TypeAlias = "str | tuple[int, ...]"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of length 1, shape `[n_embd]` each, in the order of the texts; and how many tokens those have."""

    vectors: Sequence[NDArray[np.float32]]
    n_tokens: int


class Embeddings(Protocol):
    """What the API needs of a service that embeds."""

    async def embed(self, texts: Sequence[Text]) -> Embedded:
        """A vector for each text, a string or token ids.

        Raises `RequestError` with the place of a text that is empty, too long or no tokens of this model,
        `OverloadedError`, `EngineError`.
        """
        ...


class EmbeddingService:
    """Embeds texts with one model. Implements `Embeddings`."""

    def __init__(self, embedder: Embedder, vocabulary: Vocabulary) -> None:
        self._embedder = embedder
        self._vocabulary = vocabulary

    async def embed(self, texts: Sequence[Text]) -> Embedded:
        """A vector for each text; see `Embeddings.embed`."""
        tokens = await asyncio.to_thread(lambda: [self._tokens(text, i) for i, text in enumerate(texts)])
        vectors = await self._embedder.embed(tokens)
        return Embedded(vectors, sum(map(len, tokens)))

    def _tokens(self, text: Text, i: int) -> tuple[int, ...]:
        param = f"input[{i}]"
        tokens = tokenize_prompt(self._vocabulary, Prompt(text), param=param) if isinstance(text, str) else text
        if not tokens:
            raise RequestError(f"Invalid {param}: it is empty; send at least one token.", param=param)
        n_vocab, n_max = len(self._vocabulary.pieces), self._embedder.n_batch
        if unknown := next((token for token in tokens if not 0 <= token < n_vocab), None):
            raise RequestError(
                f"Invalid {param}: {unknown} is not a token id; ids are 0 to {n_vocab - 1}.", param=param
            )
        if len(tokens) > n_max:
            raise ContextLengthError(len(tokens), n_max, param=param, parts="the text")
        return tokens
