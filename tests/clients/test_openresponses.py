"""Open Responses' compliance tests: none gets worse than `openresponses.toml` says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from served import served

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("openresponses.py")


def test_no_compliance_test_gets_worse():
    given = os.environ.get("FUNCTIONGATE_CLIENTS")
    if given is None:
        pytest.fail("the clients are installed by `make test-openresponses`, which names their folder")
    python = Path(given) / "bin" / "python"
    model = os.environ.get("FUNCTIONGATE_CLIENTS_MODEL") or "qwen2.5-coder-0.5b"
    with served(model, "--prefix-disk", "0") as url:
        ran = subprocess.run([str(python), str(SCRIPT), url], capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
