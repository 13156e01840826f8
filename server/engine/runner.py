"""Plans become evaluated tokens: the engine's view of a model.

Knows slots (sequence ids), positions and rows of logits; knows no request. `LlamaRunner` runs llama.cpp, tests
run a fake. Only the engine thread calls a runner, but for `interrupt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

import numpy as np

from server.errors import EngineError
from server.llama.batch import Batch
from server.llama.context import DecodeStatus
from server.llama.errors import LlamaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from server.llama.context import Context


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens to evaluate in one slot, shape `[n]`, the first at position `start`; logits of the last `n_logits`."""

    slot: int
    start: int
    tokens: NDArray[np.int32]
    n_logits: int


class RunStatus(Enum):
    """What became of a batch of runs."""

    OK = auto()
    NO_MEMORY = auto()  # nothing was evaluated
    INTERRUPTED = auto()  # some of it may have been evaluated: trim every slot to its start


class Runner(Protocol):
    """A model with a memory of `n_ctx` cells, shared by `n_slots` sequences."""

    @property
    def n_ctx(self) -> int:
        """Memory cells in all, which is also the longest sequence."""
        ...

    @property
    def n_batch(self) -> int:
        """Tokens that fit one `run`."""
        ...

    @property
    def n_slots(self) -> int:
        """Sequences that memory can hold."""
        ...

    @property
    def n_logits_max(self) -> int:
        """Rows of logits that one `run` can give."""
        ...

    @property
    def n_vocab(self) -> int:
        """The length of a row of logits."""
        ...

    @property
    def can_share_prefix(self) -> bool:
        """Whether `share` and `keep` can succeed at all."""
        ...

    def run(self, runs: Sequence[Run]) -> RunStatus:
        """Evaluate all runs at once. Raises `EngineError` if that fails."""
        ...

    def logits(self, row: int) -> NDArray[np.float32]:
        """The row-th of the logits that the runs wanted, shape `[n_vocab]`; a view until the next `run`."""
        ...

    def share(self, source: int, target: int, start: int, stop: int) -> bool:
        """Let `target`, which ends at `start` or is empty, go on with those positions of `source`. False: not possible.

        `start` … `stop` - 1 are positions; nothing is copied.
        """
        ...

    def keep(self, slot: int, start: int, stop: int) -> bool:
        """Keep positions `start` … `stop` - 1 of a slot only. False: not possible, free the slot."""
        ...

    def free(self, slot: int) -> None:
        """Empty a slot."""
        ...

    def save(self, slot: int) -> bytes:
        """The state of a slot, for `restore` on a runner of the same model and types."""
        ...

    def restore(self, slot: int, state: bytes) -> bool:
        """Fill an empty slot. False: the state is damaged or does not fit; the slot may hold part of it."""
        ...

    def length(self, slot: int) -> int:
        """The last position in a slot and one; 0 for an empty one."""
        ...

    def interrupt(self) -> None:
        """Stop the current `run`, or the next one, soon. Callable from any thread."""
        ...

    def clear_interrupt(self) -> None:
        """Let the next `run` run."""
        ...

    def close(self) -> None:
        """Give the memory back. May be called again."""
        ...


class LlamaRunner:
    """Runs plans on a llama.cpp context, which it owns from then on."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._batch = Batch(context.n_batch, context.n_seq_max, context.n_vocab)

    @property
    def n_ctx(self) -> int:
        """Memory cells in all."""
        return self._context.n_ctx

    @property
    def n_batch(self) -> int:
        """Tokens that fit one `run`."""
        return self._context.n_batch

    @property
    def n_slots(self) -> int:
        """Sequences that memory can hold."""
        return self._context.n_seq_max

    @property
    def n_logits_max(self) -> int:
        """Rows of logits that one `run` can give."""
        return self._context.n_outputs_max

    @property
    def n_vocab(self) -> int:
        """The length of a row of logits."""
        return self._context.n_vocab

    @property
    def can_share_prefix(self) -> bool:
        """False for models whose memory is a running sum."""
        return self._context.can_share_prefix

    def run(self, runs: Sequence[Run]) -> RunStatus:
        """Evaluate all runs in one llama_decode. Raises `EngineError` if llama.cpp fails."""
        batch = self._batch
        batch.clear()
        try:
            for run in runs:
                wanted = np.arange(len(run.tokens)) >= len(run.tokens) - run.n_logits
                batch.add(run.tokens, run.start, run.slot, wants_logits=wanted)
            status = self._context.decode(batch)
        except LlamaError as error:
            raise EngineError(f"decoding failed: {error}") from error
        match status:
            case DecodeStatus.OK:
                return RunStatus.OK
            case DecodeStatus.NO_KV_SLOT:
                return RunStatus.NO_MEMORY
            case DecodeStatus.ABORTED:
                return RunStatus.INTERRUPTED

    def logits(self, row: int) -> NDArray[np.float32]:
        """The row-th of the logits that the runs wanted; a view until the next `run`."""
        return self._context.logits(row)

    def share(self, source: int, target: int, start: int, stop: int) -> bool:
        """Share cells without copying. False when the source has lost cells that the token at `stop` needs."""
        context = self._context
        if not context.can_share_prefix or not context.holds(source, start, stop):
            return False
        context.seq_cp(source, target, start, stop)
        return True

    def keep(self, slot: int, start: int, stop: int) -> bool:
        """Remove all but a span. False when the model cannot, or cells in it are gone."""
        context = self._context
        is_cut = context.seq_rm(slot, stop) and (start == 0 or context.seq_rm(slot, 0, start))
        return is_cut and context.holds(slot, start, stop)

    def free(self, slot: int) -> None:
        """Empty a slot; removing a whole sequence never fails."""
        self._context.seq_rm(slot, 0)

    def save(self, slot: int) -> bytes:
        """The slot's cells as llama.cpp writes them."""
        return self._context.state_get(slot)

    def restore(self, slot: int, state: bytes) -> bool:
        """Fill an empty slot; cells are taken where they are free."""
        try:
            return self._context.state_set(slot, state) == len(state)
        except LlamaError:
            return False

    def length(self, slot: int) -> int:
        """The last position in a slot and one."""
        return self._context.seq_pos_max(slot) + 1

    def interrupt(self) -> None:
        """Raise the abort flag."""
        self._context.request_abort()

    def clear_interrupt(self) -> None:
        """Lower the abort flag."""
        self._context.clear_abort()

    def close(self) -> None:
        """Free the batch and the context; the model stays open."""
        self._batch.close()
        self._context.close()
