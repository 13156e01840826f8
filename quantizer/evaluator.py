"""Chunks of tokens through a model, one after the other: the one place of this package that decodes whole texts.

Knows contexts and batches through `server.llama`; no statistic. The law: each chunk is evaluated in an empty memory, so
no result depends on the order of chunks.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from quantizer.errors import NativeError
from server.llama.batch import Batch
from server.llama.context import Context, DecodeStatus
from server.llama.interrupts import interrupts_held_back

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from server.llama.model import Model

# A pass attends to all cells that its last token needs: two of 256 see three quarters of what one of 512 does, and take
# 3 to 7 % less time for SmolLM2's chunks of 512 where weights are quantized. Those in F16 cost more to read twice.
HALF_PASS, FULL_PASS = 256, 512


class Evaluator:
    """A model ready to evaluate chunks of up to `n_ctx` tokens. A context manager.

    `n_ubatch` tokens are evaluated in one pass.
    `n_outputs` rows of logits may be asked for in one chunk: the buffer has `n_outputs * n_vocab` floats.
    `eval_callback` is shown every node of the graph (`quantizer.native.graph`).
    """

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        n_outputs: int,
        n_threads: int,
        n_ubatch: int = HALF_PASS,
        eval_callback: Any = None,
    ) -> None:
        self.model = model
        self.n_ctx = n_ctx
        self._context = Context(
            model,
            n_ctx=n_ctx,
            n_batch=n_ctx,
            n_ubatch=min(n_ctx, n_ubatch),
            n_threads=n_threads,
            n_outputs_max=n_outputs,
            eval_callback=eval_callback,
        )
        self._batch = Batch(n_ctx, 1, model.n_vocab)
        self._has_callback = eval_callback is not None

    def logits(self, tokens: NDArray[np.int32], positions: slice) -> NDArray[np.float32]:
        """Logits after each token of a stretch of positions, shape `[len(positions), n_vocab]`, unnormalised.

        A view: valid until the next call. Raises `NativeError` if llama.cpp cannot evaluate the tokens.
        """
        wanted = np.zeros(len(tokens), dtype=np.bool_)
        wanted[positions] = True
        self._context.clear()
        self._batch.clear()
        self._batch.add(tokens, 0, 0, wants_logits=wanted)
        with self._uninterrupted():
            status = self._context.decode(self._batch)
        if status is not DecodeStatus.OK:
            raise NativeError(f"llama.cpp did not evaluate a chunk of {len(tokens)} tokens ({status.name})")
        return self._context.rows

    def _uninterrupted(self) -> AbstractContextManager[None]:
        """An interrupt inside a callback would be lost, and the pass with it; the last pass is broken off instead."""
        return interrupts_held_back(self._context.request_abort) if self._has_callback else nullcontext()

    def close(self) -> None:
        """Free the context and its batch. May be called again."""
        self._batch.close()
        self._context.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
