"""The clients' packages, one server for all of them, and the table of what was tried.

`make test-clients` installs the clients, and names their folder and the model's file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients.tried import page
from served import served

HERE = Path(__file__).parent
# Packages that ask for other releases of what the rest uses have an environment of their own.
ALONE = {"instructor", "smolagents"}


@pytest.fixture(scope="session")
def clients() -> Path:
    """The folder of the installed clients."""
    given = os.environ.get("FUNCTIONGATE_CLIENTS")
    if given is None:
        pytest.fail("the clients are installed by `make test-clients`, which names their folder")
    return Path(given)


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    model = os.environ.get("FUNCTIONGATE_CLIENTS_MODEL") or "qwen2.5-coder-0.5b"
    with served(model, "--prefix-disk", "0") as url:
        yield url


@pytest.fixture(scope="session")
def table() -> Iterator[dict[str, Any]]:
    """What was tried with each client; a page of it is written where FUNCTIONGATE_CLIENTS_TABLE says."""
    rows: dict[str, Any] = {}
    yield rows
    if path := os.environ.get("FUNCTIONGATE_CLIENTS_TABLE"):
        Path(path).write_text(page(rows))


@pytest.fixture(scope="session")
def run(clients: Path, base_url: str) -> Callable[[Path], dict[str, Any]]:
    """Runs a client's script against the server; gives the JSON that it prints."""

    def run(script: Path) -> dict[str, Any]:
        package = script.stem.partition("_")[0]
        if script.suffix == ".mjs":
            # node looks for packages beside its script
            command = [str(shutil.which("node")), str(clients / "node" / script.name)]
        else:
            environment = clients / package if package in ALONE else clients
            command = [str(environment / "bin" / "python"), str(script)]
        ran = subprocess.run([*command, base_url], capture_output=True, text=True, timeout=900, check=False)
        assert ran.returncode == 0, ran.stderr
        told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        return told

    return run
