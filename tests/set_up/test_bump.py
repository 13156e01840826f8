"""`make bump` changes the version where it stands, or nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = "#!/bin/sh\nexit {}\n"  # stands for Python where the target makes an environment for uv


@pytest.fixture
def copy(tmp_path):
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def bump(copy, version, *, code=0):
    python = copy / "python"
    python.write_text(PYTHON.format(code), "utf-8")
    python.chmod(0o755)
    command = ["make", "bump", f"VERSION={version}", "COMPILE=true", f"PYTHON={python}", f"VENV={copy}/env"]
    (copy / "env-lock" / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(python, copy / "env-lock" / "bin" / "python")
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)


def text(copy):
    return (copy / "pyproject.toml").read_text("utf-8")


def test_one_line_changes_to_the_version(copy):
    before = text(copy)
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    done = bump(copy, "12.34.56")
    assert done.returncode == 0, done.stderr
    assert text(copy) == re.sub(r'(?<="llama-cpp-python==)[^"]+', "12.34.56", before) != before
    assert not (copy / "pyproject.toml.before").exists()


@pytest.mark.parametrize("version", ["", "latest", "1.2; rm", ">=1.2"])
def test_what_is_no_version_is_refused(copy, version):
    before = text(copy)
    done = bump(copy, version)
    assert done.returncode != 0
    assert "VERSION= is a release of llama-cpp-python" in done.stderr
    assert text(copy) == before


def test_without_a_lock_everything_stays(copy):
    before = text(copy)
    done = bump(copy, "12.34.56", code=1)
    assert done.returncode != 0
    assert "No lock for llama-cpp-python 12.34.56: pyproject.toml is as it was" in done.stderr
    assert text(copy) == before
