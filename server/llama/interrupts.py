"""Ctrl-C while C calls back into Python: held back until C has returned.

Knows signals alone. What is raised inside a callback cannot cross C: ctypes prints it, C goes on with a false answer,
and the interrupt is lost. The law: an interrupt is raised in Python's own frames, late but never not at all.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOMENT_S = 0.02


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


def send_swallowed_interrupts_again() -> None:
    """Have an interrupt come again that was raised where Python cannot raise; changes `sys.unraisablehook`.

    In the callback of a weak reference, as imports have them, or in a finalizer Python prints what is raised, and goes
    on. From a thread, a moment later: raised in the hook itself it would be lost in the same way.
    """
    before = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)
            return
        again = threading.Timer(_MOMENT_S, signal.raise_signal, (signal.SIGINT,))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
