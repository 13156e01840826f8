"""Texts become vectors: batches of whole sequences in a context of their own, beside the one that generates.

Knows tokens and a context that pools; no text and no HTTP. The laws: a vector does not depend on what else was asked
for, and the context is opened when it is first needed, in the one thread that uses it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from server.errors import EngineError, NotReadyError, OverloadedError
from server.llama.batch import Batch
from server.llama.context import DecodeStatus
from server.llama.errors import LlamaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

Vector: TypeAlias = "NDArray[np.float32]"
Tokens: TypeAlias = "tuple[int, ...]"


class PoolingContext(Protocol):
    """What the embedder needs of a context."""

    n_batch: int
    n_seq_max: int
    n_vocab: int

    def clear(self) -> None:
        """Empty the memory."""
        ...

    def decode(self, batch: Batch) -> DecodeStatus:
        """Evaluate a batch."""
        ...

    def pooled(self, seq: int) -> Vector:
        """The vector of a sequence, shape `[n_embd]`."""
        ...

    def request_abort(self) -> None:
        """Stop the running decode, or the next one, from any thread."""
        ...

    def close(self) -> None:
        """Free the context."""
        ...


class Embedder:
    """Makes vectors, one batch at a time. `n_batch` tokens fit a batch, and so does each text; `n_queue` requests wait.

    `open_context` is called once, in the embedder's thread.
    """

    def __init__(
        self, open_context: Callable[[], PoolingContext], *, n_batch: int, n_seq_max: int, n_queue: int
    ) -> None:
        self._open_context = open_context
        self._context: PoolingContext | None = None
        self._batch: Batch | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._n_queue = n_queue
        self._n_waiting = 0
        self._is_closed = False
        self.n_batch = n_batch
        self.n_seq_max = n_seq_max

    async def embed(self, texts: Sequence[Tokens]) -> list[Vector]:
        """A vector of length 1 for each text, shape `[n_embd]`. A cancelled request ends after its running batch.

        Each text has 1 to `n_batch` tokens. Raises `OverloadedError`, `NotReadyError` after `close`, and `EngineError`
        if llama.cpp fails or the embedder is closed meanwhile.
        """
        if self._is_closed:
            raise NotReadyError("the server is shutting down and takes no more requests")
        if self._n_waiting > self._n_queue:
            raise OverloadedError(f"{self._n_waiting} requests for embeddings wait; try again later", retry_after_s=1)
        self._n_waiting += 1
        try:
            loop, vectors = asyncio.get_running_loop(), []
            for group in self._groups(texts):
                if self._is_closed:
                    raise EngineError("The server ended before all texts were embedded.", code="embedding_failed")
                vectors += await loop.run_in_executor(self._thread, self._embed, group)
            return vectors
        finally:
            self._n_waiting -= 1

    def close(self) -> None:
        """Stop the running batch and free the context. May be called again.

        Requests that still wait end with `EngineError`.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._context is not None:
            self._context.request_abort()
        self._thread.submit(self._close)
        self._thread.shutdown()

    def _groups(self, texts: Sequence[Tokens]) -> Iterator[list[Tokens]]:
        group: list[Tokens] = []
        for text in texts:
            if len(group) == self.n_seq_max or sum(map(len, group)) + len(text) > self.n_batch:
                yield group
                group = []
            group.append(text)
        if group:
            yield group

    def _embed(self, texts: Sequence[Tokens]) -> list[Vector]:
        try:
            return self._evaluate(texts)
        except LlamaError as error:
            raise EngineError(f"No embedding was made: {error}", code="embedding_failed") from error

    def _evaluate(self, texts: Sequence[Tokens]) -> list[Vector]:
        if self._context is None:
            self._context = self._open_context()
            self._batch = Batch(self.n_batch, self.n_seq_max, self._context.n_vocab)
        context, batch = self._context, self._batch
        assert batch is not None, "made with the context"
        context.clear()
        batch.clear()
        for seq, text in enumerate(texts):
            batch.add(text, 0, seq, wants_logits=np.ones(len(text), dtype=np.bool_))
        status = context.decode(batch)
        if status is not DecodeStatus.OK:
            raise LlamaError(f"a batch of {batch.n_tokens} tokens was not evaluated ({status.name})")
        return [_unit(context.pooled(seq)) for seq in range(len(texts))]

    def _close(self) -> None:
        if self._context is not None:
            self._context.close()
        if self._batch is not None:
            self._batch.close()


def _unit(vector: Vector) -> Vector:
    """The vector in the same direction, of length 1; zeros stay zeros."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector
