"""A runner without a model: its logits depend on the tokens in the slot's own memory, and on nothing else.

Every cell keeps a digest of the tokens up to it. A wrong share, trim or position therefore gives a wrong text.
"""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING

import numpy as np

from server.engine.runner import Run, RunStatus
from server.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


class FakeRunner:
    """`faults` is asked before each run: a status to return instead of running, or None.

    With `order`, logits depend on the last so many tokens only, and texts repeat themselves.

    `hold` makes every run wait for `resume` or an interrupt, so that a test can act in the middle of one.
    """

    def __init__(
        self,
        n_vocab: int = 262,
        *,
        n_ctx: int = 256,
        n_batch: int = 64,
        n_slots: int = 6,
        order: int | None = None,
        can_share_prefix: bool = True,
        can_trim: bool = True,
        faults: Callable[[int], RunStatus | None] = lambda _: None,
        favour: Callable[[int], NDArray[np.float32]] | None = None,
    ) -> None:
        self.n_ctx, self.n_batch, self.n_slots, self.n_vocab = n_ctx, n_batch, n_slots, n_vocab
        self.n_logits_max = n_slots + 8
        self._order = order
        self.can_share_prefix = can_share_prefix
        self._can_trim = can_trim
        self._faults = faults
        self._favour = favour
        self._cells: dict[int, dict[int, Cell]] = {slot: {} for slot in range(n_slots)}
        self._rows: list[NDArray[np.float32]] = []
        self._interrupted = threading.Event()
        self._may_run = threading.Event()
        self._permits = threading.Semaphore(0)
        self._may_run.set()
        self.is_running = threading.Event()
        self.batches: list[tuple[Run, ...]] = []
        self.is_closed = False

    def hold(self) -> None:
        self._may_run.clear()

    def let(self, n: int) -> None:
        """While holding, let `n` runs pass."""
        self._permits.release(n)

    def resume(self) -> None:
        self._may_run.set()

    def run(self, runs: Sequence[Run]) -> RunStatus:
        n = sum(len(run.tokens) for run in runs)
        assert 0 < n <= self.n_batch
        assert len({run.slot for run in runs}) == len(runs)
        self.batches.append(tuple(runs))
        self.is_running.set()
        while not self._may_run.wait(0.001):
            if self._interrupted.is_set() or self._permits.acquire(blocking=False):
                break
        self.is_running.clear()
        fault = self._faults(len(self.batches))
        if fault is RunStatus.NO_MEMORY:
            return fault
        if fault is RunStatus.INTERRUPTED or self._interrupted.is_set():
            self._evaluate(runs[:1])
            return RunStatus.INTERRUPTED
        if self.n_used + n > self.n_ctx:
            return RunStatus.NO_MEMORY
        self._evaluate(runs)
        return RunStatus.OK

    def logits(self, row: int) -> NDArray[np.float32]:
        return self._rows[row]

    def share(self, source: int, target: int, start: int, stop: int) -> bool:
        cells = self._cells[target]
        assert not cells or self.length(target) == start
        shared = {position: self._cells[source][position] for position in range(start, stop)}
        self._cells[target] = cells | shared
        return True

    def keep(self, slot: int, start: int, stop: int) -> bool:
        kept = {position: cell for position, cell in self._cells[slot].items() if start <= position < stop}
        if len(kept) < len(self._cells[slot]) and not self._can_trim:
            return False
        self._cells[slot] = kept
        return True

    def free(self, slot: int) -> None:
        self._cells[slot] = {}

    def save(self, slot: int) -> bytes:
        return pickle.dumps([(cell.digest, cell.token) for cell in self._cells[slot].values()])

    def restore(self, slot: int, state: bytes) -> bool:
        try:
            cells = [Cell(*cell) for cell in pickle.loads(state)]  # noqa: S301 -- our own bytes
        except pickle.UnpicklingError:
            return False
        if self.n_used + len(cells) > self.n_ctx:
            return False
        self._cells[slot] = dict(enumerate(cells))
        return True

    def length(self, slot: int) -> int:
        return max(self._cells[slot], default=-1) + 1

    def interrupt(self) -> None:
        self._interrupted.set()

    def clear_interrupt(self) -> None:
        self._interrupted.clear()

    def close(self) -> None:
        self.is_closed = True

    @property
    def n_used(self) -> int:
        return len({id(cell) for cells in self._cells.values() for cell in cells.values()})

    def _evaluate(self, runs: Sequence[Run]) -> None:
        self._rows = []
        for run in runs:
            cells = self._cells[run.slot]
            if list(cells) != list(range(run.start)):
                raise EngineError(f"position {run.start} does not follow {len(cells)}")
            before = list(cells.values())
            for token in run.tokens.tolist():
                if self._order is None:
                    digest = hash((before[-1].digest if before else 0, token))
                else:
                    digest = hash((*(cell.token for cell in before[max(0, len(before) + 1 - self._order) :]), token))
                before.append(Cell(digest, token))
            self._cells[run.slot] = dict(enumerate(before))
            self._rows += [self._row(cell.digest) for cell in before[len(before) - run.n_logits :]]
        assert len(self._rows) <= self.n_logits_max

    def _row(self, digest: int) -> NDArray[np.float32]:
        row = np.random.default_rng(digest & 0xFFFFFFFF).normal(size=self.n_vocab).astype(np.float32)
        return row if self._favour is None else row + self._favour(digest)


class Cell:
    __slots__ = ("digest", "token")

    def __init__(self, digest: int, token: int) -> None:
        self.digest = digest
        self.token = token
