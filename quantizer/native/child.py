"""Work in a process of its own: C can end the process that it runs in, and then somebody has to be left to say so.

llama.cpp asserts what a damaged file can make false, and an assertion that fails is `abort`; a file cut short while it
is mapped is a bus error. Knows processes and signals, and no model. The law: whatever ends the child, the parent says
so in one line and an exit code; whatever ends the parent ends the child, also one that is another program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence

_FORWARDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_PR_SET_PDEATHSIG = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_ENDED_BY_C = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


def in_child(work: Callable[[], int], on_death: Callable[[str], None]) -> int:
    """Do the work in a child of this process, and return its exit code, here and there: the caller exits with it.

    If the child dies of a fault, `on_death` hears why, and the code is 1. A signal that asks it to end ends this
    process too. Must be called before there are threads or a mapped library. Where Python cannot wait for signals
    (macOS) the work is done in this process.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return work()
    waited = {*_FORWARDED, signal.SIGCHLD}
    parent, mask = os.getpid(), signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _die_with(parent)
        return _ended(work())
    status = _wait(child, waited)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    number = signal.Signals(os.WTERMSIG(status))
    if number in _FORWARDED:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    on_death(_reason(number))
    return 1


def mortal(command: Sequence[str]) -> list[str]:
    """The command as a child of this process is to be given it, so that the child ends with this process.

    The thread that starts it must live as long as the process does: Linux takes a parent's thread for the parent.
    """
    return [sys.executable, "-m", __name__, str(os.getpid()), *command]


def _ended(code: int) -> int:
    """The code, unless the work was interrupted: C++ may be at it still in a thread, and nothing is taken from it."""
    if code == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _wait(child: int, waited: set[signal.Signals]) -> int:
    """The child's status when it has ended; until then signals are passed on to it."""
    while True:
        info = signal.sigwaitinfo(waited)
        if info.si_signo != signal.SIGCHLD:
            # A terminal's Ctrl-C, which the kernel sends, has reached the child as well: it is in our process group.
            if info.si_code <= 0:
                os.kill(child, info.si_signo)
        elif os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return os.waitpid(child, 0)[1]


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, in whatever way (Linux's `prctl`)."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Become the command that is given after the parent's number; what the kernel was asked for outlasts `execv`."""
    parent, *command = sys.argv[1:]
    _die_with(int(parent))
    os.execv(command[0], command)  # noqa: S606  what our own process was given


def _reason(number: signal.Signals) -> str:
    if number in _ENDED_BY_C:
        return (
            f"llama.cpp ended the process ({number.name}); what it said, if anything, is above. A file is damaged, or "
            f"of a kind that this llama.cpp cannot bear: `inspect` reads it without llama.cpp"
        )
    if number == signal.SIGKILL:
        return "the process was killed (SIGKILL), most often for want of memory: use fewer threads or a smaller model"
    return f"the process was ended by {number.name}"


if __name__ == "__main__":
    main()
