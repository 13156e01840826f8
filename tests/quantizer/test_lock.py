import subprocess
import sys
import time
from pathlib import Path

import pytest

from quantizer import lock
from quantizer.errors import PlanError
from quantizer.lock import locked

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "held.lock"


def test_one_holds_it_and_another_is_told(path, monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.05)
    with locked(path, "busy"), pytest.raises(PlanError, match="busy"), locked(path, "busy"):
        pytest.fail("two hold it")
    assert not path.exists()
    with locked(path, "busy"):
        assert path.exists()


def test_the_lock_of_one_who_dies_is_waited_for(path):
    script = f"""
import sys, time
from pathlib import Path
from quantizer.lock import locked
with locked(Path({str(path)!r}), "busy"):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    holder.stdout.readline()
    with pytest.raises(PlanError, match="busy"), locked(path, "busy"):
        pytest.fail("the holder lives")
    holder.kill()
    with locked(path, "busy"):
        holder.communicate()
        assert path.exists()


def test_a_lock_whose_file_was_removed_locks_nothing(path, monkeypatch):
    """Whoever comes while the holder ends opens the file, and finds it gone when the lock is free."""
    removed = []

    def slow_removal(file, found):
        held = genuine(file, found)
        if held and not removed:
            removed.append(True)
            found.unlink()
            return genuine(file, found)
        return held

    genuine = lock._is_held
    monkeypatch.setattr(lock, "_is_held", slow_removal)
    started = time.monotonic()
    with locked(path, "busy"):
        assert path.exists()
    assert removed
    assert time.monotonic() - started < 1
