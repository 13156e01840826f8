"""Heads of files with a few bytes wrong, as a bad disk or a bad will would make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


def mutated(data: bytes, rng: Random) -> bytes:
    """A few bytes, a length or a count of the head changed, or the file cut."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(4, len(changed) - 8)
        match rng.randrange(4):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                changed[at : at + 8] = rng.getrandbits(64).to_bytes(8, "little")
            case 2:
                changed[at : at + 8] = (1 << rng.randrange(64)).to_bytes(8, "little")
            case 3:
                del changed[rng.randrange(at, len(changed)) :]
        if len(changed) < 16:
            break
    return bytes(changed)
