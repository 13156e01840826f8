"""llama.cpp's own server tests against this server: none gets worse than `llama_server/ratchet.toml` says.

They are run where they are, never copied: `make test-llama-server` fetches them, with what they need, and names both.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from clients.llama_server.ratchet import Ratchet

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "llama_server"
ROOT = Path(__file__).parents[2]
MINUTES = 60


def told(outcomes: dict[str, str]) -> str:
    counts = Counter(outcomes.values())
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(command: list[str], **options: Any) -> None:
    """Wait until it ends. Whatever ends the waiting ends the servers that it started, too."""
    with subprocess.Popen(command, start_new_session=True, **options) as tests:
        try:
            tests.wait(60 * MINUTES)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(tests.pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def ratchet() -> Ratchet:
    return Ratchet.read(HERE / "ratchet.toml")


@pytest.fixture(scope="module")
def outcomes(ratchet, tmp_path_factory) -> dict[str, str]:
    """What became of each test, by its id."""
    tests, python = (os.environ.get(f"FUNCTIONGATE_LLAMA_{name}") for name in ("TESTS", "PYTHON"))
    if tests is None or python is None:
        pytest.fail("llama.cpp's server tests are fetched by `make test-llama-server`, which names their folder")
    record = tmp_path_factory.mktemp("llama-server") / "record.jsonl"
    environment = {
        **os.environ,
        "FUNCTIONGATE_LLAMA_RECORD": str(record),
        "FUNCTIONGATE_PYTHON": sys.executable,
        "LLAMA_SERVER_BIN_PATH": str(HERE / "binary.py"),
        "PORT": str(free_port()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE))),
    }
    plugins = ("-p", "no:cacheprovider", "-p", "recording", "-p", "keeping")
    there = {path.name for path in (Path(tests) / "unit").glob("test_*.py")}
    assert there > ratchet.not_run.keys(), "a file that is not there"
    asked = sorted(f"unit/{name}" for name in there - ratchet.not_run.keys())
    command = [python, "-m", "pytest", *plugins, "-q", "--tb=short", *asked]
    with (record.parent / "output.txt").open("w") as output:
        run(command, cwd=tests, env=environment, stdout=output, stderr=output)
    lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert lines, (record.parent / "output.txt").read_text()
    return {line["id"]: line["outcome"] for line in lines}


def test_none_of_llama_servers_own_tests_gets_worse(ratchet, outcomes):
    found = ratchet.complaints(outcomes)
    assert not found, "\n".join([told(outcomes), *found])
