"""A decoding context: evaluates batches, keeps the attention memory of its sequences.

Knows positions and sequence ids, not requests. Not thread-safe: one thread decodes and edits the memory. Only
`request_abort` may be called from another thread, at any time before `close` returns.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from server.llama.errors import LlamaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from server.llama.batch import Batch
    from server.llama.model import Model

FlashAttention = Literal["auto", "on", "off"]
KVType = Literal["f32", "f16", "q8_0"]
Pooling = Literal["mean", "cls", "last"]


_POOLING = {"mean": 1, "cls": 2, "last": 3}  # llama.h's enum llama_pooling_type


class DecodeStatus(IntEnum):
    """What became of a batch; the values are llama_decode's."""

    OK = 0
    NO_KV_SLOT = 1  # nothing was evaluated: free some memory and try again
    ABORTED = 2  # some of the batch may have stayed in memory: trim every sequence of it


class Context:
    """A context over `n_ctx` memory cells shared by `n_seq_max` sequences (a unified cache).

    `n_batch` tokens fit one decode, which is evaluated `n_ubatch` at a time. `n_outputs_max` rows of logits can
    be asked for in one decode; None is one for each sequence, which keeps the logits buffer small. With `pooling` a
    decode gives no logits: every sequence, which must fit one batch, becomes a vector (`pooled`).
    `eval_callback` is ggml's callback for every node of the graph, opaque here: a C function pointer, kept alive.
    Raises `LlamaError` if llama.cpp cannot create it, usually for want of memory.
    """

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        n_batch: int = 512,
        n_ubatch: int = 512,
        n_seq_max: int = 1,
        n_threads: int,
        n_threads_batch: int | None = None,
        n_outputs_max: int | None = None,
        flash_attn: FlashAttention = "auto",
        type_k: KVType = "f16",
        type_v: KVType = "f16",
        pooling: Pooling | None = None,
        eval_callback: Any = None,
    ) -> None:
        self._handle: Any = None
        self.model = model
        c = self._c = model.library.c
        # To be pooled, every token is an output.
        n_outputs_max = n_batch if pooling else min(n_outputs_max or n_seq_max, n_batch)
        _check_sizes(
            model,
            n_ctx=n_ctx,
            n_batch=n_batch,
            n_seq_max=n_seq_max,
            n_outputs_max=n_outputs_max,
            n_threads=n_threads,
            max_sequences=int(c.llama_max_parallel_sequences()),
        )
        # libc's strlen is the abort callback and this buffer its argument: a non-zero first byte makes it return
        # non-zero and stops llama_decode. No Python runs and no GIL is taken once per graph node.
        self._abort_flag = ctypes.create_string_buffer(2)
        self._strlen = ctypes.cast(ctypes.CDLL(None).strlen, c.ggml_abort_callback)
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, n_batch, min(n_ubatch, n_batch)
        params.n_seq_max = n_seq_max
        params.n_outputs_max = n_outputs_max
        params.n_threads, params.n_threads_batch = n_threads, n_threads_batch or n_threads
        params.flash_attn_type = _flash_attention(c, flash_attn)
        params.type_k, params.type_v = _kv_type(c, type_k), _kv_type(c, type_v)
        params.kv_unified, params.swa_full, params.offload_kqv = True, True, False
        params.no_perf = True
        self._pooling = pooling
        if pooling is not None:
            params.embeddings, params.pooling_type = True, _POOLING[pooling]
            params.n_ubatch = n_batch  # a sequence is pooled within one
        params.abort_callback = self._strlen
        params.abort_callback_data = ctypes.cast(self._abort_flag, ctypes.c_void_p)
        self._eval_callback = eval_callback
        if eval_callback is not None:
            params.cb_eval = eval_callback
        self._handle = c.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise LlamaError(
                f"llama.cpp cannot create a context of {n_ctx} tokens for {model.path.name}: "
                f"lower the context size or free memory"
            )
        self._memory: Any = c.llama_get_memory(self._handle)
        self.n_ctx = int(c.llama_n_ctx(self._handle))
        self.n_batch = int(c.llama_n_batch(self._handle))
        self.n_ubatch = int(c.llama_n_ubatch(self._handle))
        self.n_seq_max = n_seq_max
        self.n_outputs_max = int(params.n_outputs_max)
        self.n_vocab = model.n_vocab
        self.state_format = (
            f"{model.library.build_info()}, keys {type_k}, values {type_v}, flash attention {flash_attn}"
        )
        self._rows: NDArray[np.float32] = np.empty((0, self.n_vocab), dtype=np.float32)
        model.attach(self)

    @property
    def can_share_prefix(self) -> bool:
        """Whether a sequence can be cut back, and its beginning given to another one, for every length.

        Not for recurrent and hybrid models. With a sliding window it depends on what is still in the window:
        `holds` tells.
        """
        return not self.model.is_recurrent

    def decode(self, batch: Batch) -> DecodeStatus:
        """Evaluate a batch; its requested rows of logits are then at `logits`. Releases the GIL.

        Raises `LlamaError` for a batch that is empty, too large or asks for too many rows, for positions that
        do not follow those in memory (nothing is evaluated then), and when the computation itself fails.
        """
        handle = self._open_handle()
        if batch.n_tokens == 0:
            raise LlamaError("an empty batch cannot be decoded")
        if batch.n_tokens > self.n_batch:
            raise LlamaError(f"{batch.n_tokens} tokens exceed the context's batch size of {self.n_batch}")
        if batch.n_outputs > self.n_outputs_max:
            raise LlamaError(
                f"{batch.n_outputs} rows of logits exceed this context's {self.n_outputs_max} (raise n_outputs_max)"
            )
        if batch.n_seq_max > self.n_seq_max or batch.n_vocab > self.n_vocab:
            raise LlamaError("the batch was made for a context with more sequences or a larger vocabulary")
        code = int(self._c.llama_decode(handle, batch.struct))
        self._rows = self._rows[:0]
        if code < 0:
            reason = "refused the batch" if code == -1 else "failed to evaluate the batch"
            raise LlamaError(f"llama.cpp {reason} of {batch.n_tokens} tokens (llama_decode returned {code})")
        status = DecodeStatus(code)
        if status is DecodeStatus.OK and batch.n_outputs and self._pooling is None:
            pointer = self._c.llama_get_logits(handle)
            self._rows = np.ctypeslib.as_array(pointer, (batch.n_outputs, self.n_vocab))
        return status

    def logits(self, i: int) -> NDArray[np.float32]:
        """Logits of the i-th output of the last decode, shape `[n_vocab]`, unnormalised.

        A view: valid until the next `decode`; copy to keep. Raises `LlamaError` if output `i` was not requested.
        """
        if not 0 <= i < len(self._rows):
            raise LlamaError(f"output {i} was not requested: the last decode has {len(self._rows)}")
        row: NDArray[np.float32] = self._rows[i]
        return row

    def pooled(self, seq: int) -> NDArray[np.float32]:
        """The vector that a sequence of the last decode became, shape `[n_embd]`: a copy.

        Raises `LlamaError` if there is none.
        """
        self._check_seq(seq)
        pointer = self._c.llama_get_embeddings_seq(self._handle, seq)
        if not pointer:
            raise LlamaError(f"sequence {seq} was not pooled: this context, or this model, gives no embeddings")
        return np.ctypeslib.as_array(pointer, (self.model.n_embd,)).copy()

    @property
    def rows(self) -> NDArray[np.float32]:
        """All requested logits of the last decode, shape `[n_outputs, n_vocab]`. A view: valid until the next one."""
        return self._rows

    def seq_rm(self, seq: int, start: int, stop: int = -1) -> bool:
        """Remove positions `start` … `stop` - 1 of a sequence, -1 for its end. False if the model cannot."""
        self._check_seq(seq)
        return bool(self._c.llama_memory_seq_rm(self._memory, seq, start, stop))

    def seq_cp(self, source: int, target: int, start: int, stop: int) -> None:
        """Let `target` share positions `start` … `stop` - 1 of `source`; no data is copied."""
        self._check_seq(source)
        self._check_seq(target)
        self._c.llama_memory_seq_cp(self._memory, source, target, start, stop)

    def seq_pos_max(self, seq: int) -> int:
        """The last position in memory of a sequence, -1 if it has none."""
        self._check_seq(seq)
        return int(self._c.llama_memory_seq_pos_max(self._memory, seq))

    def holds(self, seq: int, start: int, stop: int) -> bool:
        """Whether a sequence has all of positions `start` … `stop` - 1 that the token at `stop` attends to.

        A sliding window's older cells may have been reused for other tokens.
        """
        self._check_seq(seq)
        if start >= stop:
            return True
        oldest = int(self._c.llama_memory_seq_pos_min(self._memory, seq))
        window = self.model.n_swa
        needed = max(start, stop - window) if window else start
        return 0 <= oldest <= needed and self.seq_pos_max(seq) >= stop - 1

    def clear(self) -> None:
        """Empty the memory of every sequence."""
        self._open_handle()
        self._c.llama_memory_clear(self._memory, True)

    def state_get(self, seq: int) -> bytes:
        """The memory of one sequence, to be restored by `state_set` in a context of the same model and types."""
        self._check_seq(seq)
        size = int(self._c.llama_state_seq_get_size(self._handle, seq))
        buffer = (ctypes.c_uint8 * size)()
        n = int(self._c.llama_state_seq_get_data(self._handle, buffer, size, seq))
        return bytes(memoryview(buffer)[:n])

    def state_set(self, seq: int, state: bytes) -> int:
        """Replace the memory of one sequence by a saved one; return the number of bytes read.

        Raises `LlamaError` if the state is damaged, of another model, or does not fit.
        """
        self._check_seq(seq)
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        n = int(self._c.llama_state_seq_set_data(self._handle, buffer, len(state), seq))
        if n == 0:
            raise LlamaError(f"a saved state of {len(state)} bytes cannot be restored into this context")
        return n

    def request_abort(self) -> None:
        """Stop the running decode, or the next one, within a few milliseconds. Callable from any thread."""
        self._abort_flag[0] = b"\x01"

    def clear_abort(self) -> None:
        """Allow decodes again."""
        self._abort_flag[0] = b"\x00"

    def close(self) -> None:
        """Free the context. May be called again. The caller makes sure that no decode is running."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        self._rows = self._rows[:0].copy()
        self._c.llama_free(handle)
        self.model.detach(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_handle(self) -> Any:
        if self._handle is None:
            raise LlamaError("the context is closed")
        return self._handle

    def _check_seq(self, seq: int) -> None:
        self._open_handle()
        if not 0 <= seq < self.n_seq_max:
            raise LlamaError(f"sequence id {seq} is outside 0 … {self.n_seq_max - 1}")


def _check_sizes(
    model: Model,
    *,
    n_ctx: int,
    n_batch: int,
    n_seq_max: int,
    n_outputs_max: int,
    n_threads: int,
    max_sequences: int,
) -> None:
    if model.vocab_only:
        raise LlamaError(f"{model.path.name} was opened without its weights (vocab_only)")
    if min(n_ctx, n_batch, n_threads) < 1:
        raise LlamaError(f"n_ctx={n_ctx}, n_batch={n_batch} and n_threads={n_threads} must be at least 1")
    if not 1 <= n_seq_max <= max_sequences:
        raise LlamaError(f"n_seq_max={n_seq_max} is outside 1 … {max_sequences}")
    if n_outputs_max < n_seq_max:  # an assertion in llama.cpp, which ends the process
        raise LlamaError(f"n_outputs_max={n_outputs_max} is below n_seq_max={n_seq_max}: raise it, or n_batch")


def _flash_attention(c: Any, mode: FlashAttention) -> int:
    modes = {
        "auto": c.LLAMA_FLASH_ATTN_TYPE_AUTO,
        "on": c.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        "off": c.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }
    return int(modes[mode])


def _kv_type(c: Any, name: KVType) -> int:
    return int({"f32": c.GGML_TYPE_F32, "f16": c.GGML_TYPE_F16, "q8_0": c.GGML_TYPE_Q8_0}[name])
