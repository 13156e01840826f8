"""Ctrl-C while C calls back into Python: held back until C has returned.

Knows signals alone. What is raised inside a callback cannot cross C: ctypes prints it, C goes on with a false answer,
and the interrupt is lost. The law: an interrupt is raised in Python's own frames, late but never not at all.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def interrupts_held_back(stop: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let SIGINT wait for the end of the `with`; `stop` is called when it comes, to bring the end nearer.

    What the signal's handler raises, `KeyboardInterrupt` as a rule, is raised at the end, in place of what C's broken
    work raised. Outside of the main thread, and where the signal has no handler in Python, nothing is changed.
    """
    previous: Any = signal.getsignal(signal.SIGINT)
    if not callable(previous) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[Any] = []

    def hold(_number: int, frame: Any) -> None:
        came.append(frame)
        stop()

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if came:
            previous(signal.SIGINT, came[0])
