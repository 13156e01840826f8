"""A lock that one process holds at a time, and that goes with it, however it ends.

Knows files alone. The law: who holds the lock holds the file that is under its name now.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from quantizer.errors import PlanError

# A process that was killed a moment ago holds its lock until its memory has been given back.
_PATIENCE_S, _INTERVAL_S = 1.0, 0.02


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock; its file is gone afterwards. Raises `PlanError`, saying `busy`, if another process keeps it."""
    with _taken(path, busy):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _taken(path: Path, busy: str) -> TextIO:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        file = path.open("w")
        if _is_held(file, path):
            return file
        file.close()
        if time.monotonic() > deadline:
            raise PlanError(busy)
        time.sleep(_INTERVAL_S)


def _is_held(file: TextIO, path: Path) -> bool:
    """Lock the file. Whoever held it before may have removed it under our hands: then it locks nothing."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
