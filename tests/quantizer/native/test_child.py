"""Whatever ends the child, its parent says so and lives; whatever ends the parent ends the child."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quantizer.native.child import in_child, mortal

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="the work is done in the process itself")

SCRIPT = """
import os, signal, sys, time
from quantizer.native.child import in_child

def ready():
    print(os.getpid(), flush=True)

def work():
    {work}

sys.exit(in_child(work, lambda reason: print(reason, flush=True)))
"""
WAITS = """
    try:
        ready()
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.2)  # a second one would end this
        return 130
    return 0
"""


def _hear_ctrl_c():
    """What a shell starts in the background ignores SIGINT, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(work):
    """The parent's process, and the child's number."""
    command = [sys.executable, "-c", SCRIPT.format(work=work)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509  the test has no threads
    )
    line = b""
    while not line.endswith(b"\n"):  # no more than the line: what the file object held back, `communicate` would miss
        line += os.read(process.stdout.fileno(), 1)
    return process, int(line)


def is_running(number):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


def eventually(is_so, seconds=3):
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_the_childs_exit_code_is_the_parents(code):
    process, child = started(f"ready(); return {code}")
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == code
    assert child != process.pid


@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGBUS", "SIGFPE"])
def test_a_fault_in_c_is_said_in_one_line_and_is_a_failure(name):
    process, _ = started(f"ready(); os.kill(os.getpid(), signal.{name})")
    said, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (1, "")
    assert f"llama.cpp ended the process ({name})" in said
    assert said.count("\n") == 1


def test_a_child_killed_for_its_memory_is_said_so():
    process, child = started(WAITS)
    os.kill(child, signal.SIGKILL)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "want of memory" in said


def test_a_signal_to_the_parent_reaches_the_child():
    process, _ = started(WAITS)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 130


def test_a_parent_asked_to_end_ends_as_asked_and_its_child_with_it():
    process, child = started(WAITS)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert not is_running(child)


def test_a_parent_that_is_killed_takes_its_child_along():
    process, child = started(WAITS)
    process.kill()
    process.communicate(timeout=30)
    assert eventually(lambda: not is_running(child))


def test_without_a_way_to_wait_the_work_is_done_here(monkeypatch):
    monkeypatch.delattr(signal, "sigwaitinfo")
    assert in_child(os.getpid, lambda _reason: None) == os.getpid()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_another_program_ends_with_the_process_that_started_it(number):
    script = """
import subprocess, sys, time
from quantizer.native.child import mortal
child = subprocess.Popen(mortal([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]),
                         stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    assert is_running(child)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert eventually(lambda: not is_running(child))


def test_another_programs_exit_code_and_words_are_its_own():
    command = mortal([sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(3)", "a b", "-c"])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "['a b', '-c']\n", "")
