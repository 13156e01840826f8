"""The tokens of one decode, filled through numpy views: no Python loop per token.

Refuses what would abort the process inside C: too many tokens, a sequence id out of range, no token at all.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from server.llama.errors import LlamaError
from server.llama.library import library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Batch:
    """Up to `n_tokens_max` tokens of sequences 0 … `n_seq_max` - 1. Reusable: `clear`, then `add`.

    A token may belong to as many as `n_shared` sequences at once: a beginning that several continue.
    """

    def __init__(self, n_tokens_max: int, n_seq_max: int, n_vocab: int, *, n_shared: int = 1) -> None:
        if n_tokens_max < 1:
            raise LlamaError(f"a batch holds at least 1 token, not {n_tokens_max}")
        self._c = library().c
        self._batch: Any = self._c.llama_batch_init(n_tokens_max, 0, n_shared)
        self.n_tokens_max = n_tokens_max
        self.n_seq_max = n_seq_max
        self.n_vocab = n_vocab
        self.n_outputs = 0
        view = np.ctypeslib.as_array
        self._token: NDArray[np.int32] = view(self._batch.token, (n_tokens_max,))
        self._pos: NDArray[np.int32] = view(self._batch.pos, (n_tokens_max,))
        self._logits: NDArray[np.int8] = view(self._batch.logits, (n_tokens_max,))
        self.n_shared = n_shared
        self._n_seq: NDArray[np.int32] = view(self._batch.n_seq_id, (n_tokens_max,))
        # seq_id is an array of pointers, one to each token's own cell: all cells are set through their addresses
        # once, to rows of one array of ours, so that a slice assignment fills them.
        self._seq = np.zeros((n_tokens_max, n_shared), dtype=np.int32)
        self._own_pointers = self._point_at_rows()

    @property
    def n_tokens(self) -> int:
        """The number of tokens added since `clear`."""
        return int(self._batch.n_tokens)

    @property
    def struct(self) -> Any:
        """The C struct, for `Context.decode` only."""
        if self._batch is None:
            raise LlamaError("the batch is closed")
        return self._batch

    def clear(self) -> None:
        """Forget all tokens."""
        self._batch.n_tokens = 0
        self.n_outputs = 0

    def add(
        self,
        tokens: Sequence[int] | NDArray[np.int32],
        start: int,
        seq: int | Sequence[int],
        *,
        wants_logits: bool | NDArray[np.bool_],
    ) -> int:
        """Append tokens at positions `start`, `start` + 1, … of `seq`, one sequence or more; return the first's index.

        `wants_logits` True asks for the logits of the last token, an array of shape `[n]` for those where it
        is true. Raises `LlamaError` for an empty run, too many tokens, an id outside the vocabulary, a
        negative position or a sequence id out of range; the batch is then unchanged.
        """
        run = np.asarray(tokens, dtype=np.int32)
        first, n = self.n_tokens, len(run)
        if n == 0:
            raise LlamaError("an empty run of tokens cannot be decoded")
        if first + n > self.n_tokens_max:
            raise LlamaError(f"{first + n} tokens do not fit a batch of {self.n_tokens_max}")
        ids = (seq,) if isinstance(seq, int) else tuple(seq)
        if not 1 <= len(ids) <= self.n_shared:
            raise LlamaError(f"a token of {len(ids)} sequences does not fit a batch made for 1 … {self.n_shared}")
        if min(ids) < 0 or max(ids) >= self.n_seq_max:
            raise LlamaError(f"sequence id {seq} is outside 0 … {self.n_seq_max - 1}")
        if start < 0:
            raise LlamaError(f"position {start} is negative")
        if run.min() < 0 or run.max() >= self.n_vocab:
            raise LlamaError(f"token ids must lie in 0 … {self.n_vocab - 1}")
        span = slice(first, first + n)
        self._token[span] = run
        self._pos[span] = np.arange(start, start + n, dtype=np.int32)
        self._seq[span, : len(ids)] = ids
        self._n_seq[span] = len(ids)
        if isinstance(wants_logits, np.ndarray):
            self._logits[span] = wants_logits
            self.n_outputs += int(np.count_nonzero(wants_logits))
        else:
            self._logits[span] = 0
            self._logits[first + n - 1] = wants_logits
            self.n_outputs += int(wants_logits)
        self._batch.n_tokens = first + n
        return first

    def close(self) -> None:
        """Free the C arrays. May be called again."""
        if self._batch is None:
            return
        self._pointers()[:-1] = self._own_pointers
        self._c.llama_batch_free(self._batch)
        self._batch = None

    def _pointers(self) -> NDArray[np.uintp]:
        """`seq_id` as addresses, shape `[n_tokens_max + 1]`; the last one is llama.cpp's null terminator."""
        address = np.ctypeslib.as_array(
            ctypes.cast(self._batch.seq_id, ctypes.POINTER(ctypes.c_size_t)),
            (self.n_tokens_max + 1,),
        )
        return address.view(np.uintp)

    def _point_at_rows(self) -> NDArray[np.uintp]:
        pointers = self._pointers()
        own = pointers[:-1].copy()
        rows = self._seq.ctypes.data + np.arange(self.n_tokens_max, dtype=np.uintp) * np.uintp(4 * self.n_shared)
        pointers[:-1] = rows
        return own
