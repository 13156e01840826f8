"""What is in the model's memory: which slot holds how many tokens, and how many cells that takes.

Mirrors a unified cache: a cell belongs to every slot that shares it and is free again when the last one lets go.
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

    def share(self, source: int, target: int, n: int) -> bool:
        """Let `target` begin like `source`."""
        ...

    def trim(self, slot: int, n: int) -> bool:
        """Keep the first `n` tokens."""
        ...

    def free(self, slot: int) -> None:
        """Empty a slot."""
        ...

    def length(self, slot: int) -> int:
        """Tokens in a slot."""
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
        self._free_slots = list(range(memory.n_slots - 1, -1, -1))

    @property
    def n_free(self) -> int:
        """Cells that no slot uses."""
        return self._n_free

    @property
    def has_free_slot(self) -> bool:
        """Whether `open_slot` can succeed."""
        return bool(self._free_slots)

    def open_slot(self) -> int:
        """Take an empty slot."""
        slot = self._free_slots.pop()
        self._cells[slot] = np.empty(0, dtype=np.int32)
        return slot

    def length(self, slot: int) -> int:
        """Cells that a slot holds, shared ones included."""
        return len(self._cells[slot])

    def extend(self, slot: int, n: int) -> None:
        """Account for `n` tokens that are about to be evaluated in a slot."""
        assert n <= self._n_free, "the scheduler reserves only what is free"
        self._n_free -= n
        cells = self._free_cells[self._n_free : self._n_free + n].copy()
        self._references[cells] = 1
        self._cells[slot] = np.concatenate([self._cells[slot], cells])

    def share(self, source: int, target: int, n: int) -> bool:
        """Begin the empty slot `target` with the first `n` tokens of `source`. False: nothing changed."""
        assert len(self._cells[target]) == 0, "only an empty slot can begin like another"
        assert n <= len(self._cells[source]), "only what is in memory can be shared"
        if not self._memory.share(source, target, n):
            return False
        cells = self._cells[source][:n].copy()
        self._references[cells] += 1
        self._cells[target] = cells
        return True

    def trim(self, slot: int, n: int) -> bool:
        """Keep the first `n` tokens of a slot. False: the model cannot; close the slot."""
        if not self._memory.trim(slot, n):
            return False
        self._release(self._cells[slot][n:])
        self._cells[slot] = self._cells[slot][:n].copy()
        return True

    def close_slot(self, slot: int) -> None:
        """Empty a slot and give it back."""
        self._memory.free(slot)
        self._release(self._cells.pop(slot))
        self._free_slots.append(slot)

    def reclaimable(self, slots: Iterable[int]) -> int:
        """How many cells would be free if all these slots were closed, beyond those that are."""
        held = [self._cells[slot] for slot in slots]
        if not held:
            return 0
        counts = np.bincount(np.concatenate(held), minlength=len(self._references))
        return int(np.count_nonzero((counts > 0) & (counts == self._references)))

    def check(self, expected: dict[int, int]) -> None:
        """Compare the ledger with itself, with the runner, and with the tokens that each slot should hold.

        Raises `EngineError` naming the first difference.
        """
        lengths = {slot: len(cells) for slot, cells in self._cells.items()}
        if lengths != expected:
            raise EngineError(f"the ledger holds {lengths}, the sequences {expected}")
        for slot, n in expected.items():
            if self._memory.length(slot) != n:
                raise EngineError(f"slot {slot} holds {self._memory.length(slot)} tokens instead of {n}")
        references = np.zeros_like(self._references)
        for cells in self._cells.values():
            references[cells] += 1
        if not np.array_equal(references, self._references):
            raise EngineError("the ledger's references do not add up")
        if self._n_free != int(np.count_nonzero(references == 0)):
            raise EngineError(f"{self._n_free} cells are listed as free")

    def _release(self, cells: NDArray[np.int32]) -> None:
        self._references[cells] -= 1
        freed = cells[self._references[cells] == 0]
        self._free_cells[self._n_free : self._n_free + len(freed)] = freed
        self._n_free += len(freed)
