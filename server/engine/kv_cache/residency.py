"""What is in the model's memory: which slot holds which positions, and how many cells that takes.

Mirrors a unified cache: a cell belongs to every slot that shares it and is free again when the last one lets go. A slot
holds one span of positions; a running sequence's begins at 0, a piece of a prefix may begin anywhere.
Knows slots and counts, no tokens and no requests. Every change goes to the runner and to the ledger together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from server.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class Memory(Protocol):
    """The part of a runner that edits memory."""

    @property
    def n_ctx(self) -> int:
        """Cells in all."""
        ...

    @property
    def n_slots(self) -> int:
        """Slots in all."""
        ...

    def share(self, source: int, target: int, start: int, stop: int) -> bool:
        """Let `target` go on, or begin, with positions `start` … `stop` - 1 of `source`."""
        ...

    def keep(self, slot: int, start: int, stop: int) -> bool:
        """Keep positions `start` … `stop` - 1."""
        ...

    def free(self, slot: int) -> None:
        """Empty a slot."""
        ...

    def save(self, slot: int) -> bytes:
        """The state of a slot."""
        ...

    def restore(self, slot: int, state: bytes) -> bool:
        """Fill an empty slot with a state."""
        ...

    def length(self, slot: int) -> int:
        """The last position in a slot and one."""
        ...


class Residency:
    """The ledger of a runner's cells: `n_ctx` cells, each counted once however many slots share it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        n_cells = memory.n_ctx
        self._references = np.zeros(n_cells, dtype=np.int32)
        self._free_cells = np.arange(n_cells, dtype=np.int32)
        self._n_free = n_cells
        self._cells: dict[int, NDArray[np.int32]] = {}
        self._starts: dict[int, int] = {}
        self._free_slots = list(range(memory.n_slots - 1, -1, -1))

    @property
    def n_free(self) -> int:
        """Cells that no slot uses."""
        return self._n_free

    @property
    def has_free_slot(self) -> bool:
        """Whether `open_slot` can succeed."""
        return bool(self._free_slots)

    def open_slot(self, start: int = 0) -> int:
        """Take an empty slot for positions from `start` on."""
        slot = self._free_slots.pop()
        self._cells[slot] = np.empty(0, dtype=np.int32)
        self._starts[slot] = start
        return slot

    def stop(self, slot: int) -> int:
        """The position after the last one in a slot."""
        return self._starts[slot] + len(self._cells[slot])

    def extend(self, slot: int, n: int) -> None:
        """Account for `n` tokens that are about to be evaluated in a slot."""
        assert n <= self._n_free, "the scheduler reserves only what is free"
        self._n_free -= n
        cells = self._free_cells[self._n_free : self._n_free + n].copy()
        self._references[cells] = 1
        self._cells[slot] = np.concatenate([self._cells[slot], cells])

    def share(self, source: int, target: int, stop: int) -> bool:
        """Let `target` go on where it ends with what `source` has from there up to `stop`. False: nothing changed."""
        start = self.stop(target)
        first = start - self._starts[source]
        assert first >= 0, "only what the source has can be shared"
        assert start < stop <= self.stop(source), "only what is in memory can be shared"
        if not self._memory.share(source, target, start, stop):
            return False
        cells = self._cells[source][first : first + stop - start]
        self._references[cells] += 1
        self._cells[target] = np.concatenate([self._cells[target], cells])
        return True

    def save(self, slot: int) -> bytes:
        """What memory holds of a slot, to be restored in the same or another process."""
        return self._memory.save(slot)

    def restore(self, slot: int, state: bytes, n: int) -> bool:
        """Fill an empty slot with a state of `n` tokens. False: it is not one, or does not fit; the slot is empty."""
        assert len(self._cells[slot]) == 0, "only an empty slot can be filled"
        if not self._memory.restore(slot, state) or self._memory.length(slot) != n:
            self._memory.free(slot)
            return False
        self.extend(slot, n)
        return True

    def trim(self, slot: int, stop: int) -> bool:
        """Keep what a slot has below position `stop`. False: the model cannot; close the slot."""
        return self._keep(slot, self._starts[slot], stop)

    def drop_front(self, slot: int, start: int) -> bool:
        """Keep what a slot has from position `start` on. False: the model cannot; close the slot."""
        return self._keep(slot, start, self.stop(slot))

    def close_slot(self, slot: int) -> None:
        """Empty a slot and give it back."""
        self._memory.free(slot)
        self._release(self._cells.pop(slot))
        del self._starts[slot]
        self._free_slots.append(slot)

    def reclaimable(self, slots: Iterable[int]) -> int:
        """How many cells would be free if all these slots were closed, beyond those that are."""
        held = [self._cells[slot] for slot in slots]
        if not held:
            return 0
        counts = np.bincount(np.concatenate(held), minlength=len(self._references))
        return int(np.count_nonzero((counts > 0) & (counts == self._references)))

    def check(self, expected: dict[int, tuple[int, int]]) -> None:
        """Compare the ledger with itself, with the runner, and with the span that each slot should hold.

        Raises `EngineError` naming the first difference.
        """
        spans = {slot: (start, self.stop(slot)) for slot, start in self._starts.items()}
        if spans != expected:
            raise EngineError(f"the ledger holds {spans}, the sequences {expected}")
        for slot, (start, stop) in expected.items():
            if self._memory.length(slot) != (stop if stop > start else 0):
                raise EngineError(f"slot {slot} ends at {self._memory.length(slot)} instead of {stop}")
        references = np.zeros_like(self._references)
        for cells in self._cells.values():
            references[cells] += 1
        if not np.array_equal(references, self._references):
            raise EngineError("the ledger's references do not add up")
        if self._n_free != int(np.count_nonzero(references == 0)):
            raise EngineError(f"{self._n_free} cells are listed as free")

    def _keep(self, slot: int, start: int, stop: int) -> bool:
        if not self._memory.keep(slot, start, stop):
            return False
        first = start - self._starts[slot]
        cells = self._cells[slot]
        self._release(np.concatenate([cells[:first], cells[first + stop - start :]]))
        self._cells[slot] = cells[first : first + stop - start].copy()
        self._starts[slot] = start
        return True

    def _release(self, cells: NDArray[np.int32]) -> None:
        self._references[cells] -= 1
        freed = cells[self._references[cells] == 0]
        self._free_cells[self._n_free : self._n_free + len(freed)] = freed
        self._n_free += len(freed)
