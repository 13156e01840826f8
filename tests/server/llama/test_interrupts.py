"""An interrupt during C's work comes after it, and comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from server.llama.interrupts import interrupts_held_back


@pytest.fixture(autouse=True)
def hears_ctrl_c():
    """What a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_raised_at_the_end_and_the_work_is_asked_to_stop():
    done, stopped = [], []

    def work():
        signal.raise_signal(signal.SIGINT)
        done.append(True)

    with pytest.raises(KeyboardInterrupt), interrupts_held_back(lambda: stopped.append(True)):
        work()
    assert (done, stopped) == ([True], [True])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_raised_in_place_of_what_the_broken_work_raised():
    def work():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("the pass was broken off")

    with pytest.raises(KeyboardInterrupt) as interrupt, interrupts_held_back():
        work()
    assert isinstance(interrupt.value.__context__, ValueError)


def test_without_an_interrupt_errors_pass_and_the_handler_is_back():
    with pytest.raises(ValueError, match="its own"), interrupts_held_back():
        raise ValueError("its own")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_ignores_interrupts_goes_on_to_ignore_them():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_held_back():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_changes_no_handler():
    seen = []

    def work():
        with interrupts_held_back():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


LOST = """
import signal, time, weakref
from server.llama.interrupts import send_swallowed_interrupts_again
AGAIN

class Thing:
    pass

def interrupted(_):
    signal.raise_signal(signal.SIGINT)

try:
    thing = Thing()
    reference = weakref.ref(thing, interrupted)
    del thing
    time.sleep(0.5)
    print("lost")
except KeyboardInterrupt:
    print("heard")
"""


@pytest.mark.parametrize(("call", "said"), [("send_swallowed_interrupts_again()", "heard"), ("", "lost")])
def test_an_interrupt_that_python_swallows_comes_again(call, said):
    """In a weak reference's callback, as imports have them, an exception is printed and forgotten."""
    done = subprocess.run(
        [sys.executable, "-c", LOST.replace("AGAIN", call)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.stdout == f"{said}\n"
    assert ("Traceback" in done.stderr) == (said == "lost")
