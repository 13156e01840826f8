"""Shows work on chunks, tasks or cases on a terminal; on anything else one line when it ends."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console


@contextmanager
def work_bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be called with what is done and what there is in all."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = time.monotonic()
    counts = (0, 0)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)

        def update(done: int, total: int) -> None:
            nonlocal counts
            counts = (done, total)
            progress.update(task, completed=done, total=total)

        yield update
    if not console.is_terminal:
        done = f"{counts[0]} of {counts[1]}" if counts[1] else "done"
        console.print(f"{what}: {done} in {time.monotonic() - started:.1f} s")
