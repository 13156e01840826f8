"""Shows a download on a terminal; on anything else one line when it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


class DownloadBar:
    """A context manager whose `update` is a download's progress. Draws nothing if nothing is downloaded."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._console = console
        self._progress = Progress(*columns, TimeRemainingColumn(), console=console)
        self._tasks: dict[str, TaskID] = {}

    def update(self, what: str, done_bytes: int, total_bytes: int) -> None:
        """Show that `done_bytes` of `total_bytes` (0 if unknown) of `what` are here."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=None)
            if self._console.is_terminal:
                self._progress.start()
            else:
                self._console.print(f"downloading {what}")
        self._progress.update(self._tasks[what], completed=done_bytes, total=total_bytes or None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tasks and self._console.is_terminal:
            self._progress.stop()
