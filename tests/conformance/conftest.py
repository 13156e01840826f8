"""Servers with and without a model, and the report of what was asked of them.

`make test-conformance` installs schemathesis, and names it and the report's file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conformance.tally import by_route, failures, requests_of, undescribed, wait_until_idle
from served import served, started

HERE = Path(__file__).parent
COMMAND = "make test-conformance"


@pytest.fixture(scope="session")
def report() -> Iterator[dict[str, Any]]:
    """A row for each run; written to the file that FUNCTIONGATE_CONFORMANCE_REPORT names."""
    rows: dict[str, Any] = {}
    yield rows
    if path := os.environ.get("FUNCTIONGATE_CONFORMANCE_REPORT"):
        told = {"command": COMMAND, "requests": sum(row["requests"] for row in rows.values()), "runs": rows}
        Path(path).write_text(json.dumps(told, indent=1) + "\n")


@pytest.fixture
def measured(report):
    """Runs what is in its block against a server, and holds all that was answered against the description.

    No failure of the server's own, no status that is not described, and nothing left running.
    """

    @contextmanager
    def run(name: str, http: httpx.Client) -> Iterator[dict[str, Any]]:
        before, begin = requests_of(http.get("/metrics").text), time.monotonic()
        row: dict[str, Any] = {}
        yield row
        seconds = time.monotonic() - begin
        wait_until_idle(http)
        assert http.get("/health").status_code == 200
        counts = Counter(requests_of(http.get("/metrics").text))
        counts.subtract(before)
        counts["/health", 200] -= 1
        counts = +counts
        assert failures(counts) == []
        assert undescribed(counts, http.get("/openapi.json").json()) == []
        report[name] = {"requests": counts.total(), "seconds": round(seconds), **row, "routes": by_route(counts)}

    return run


@pytest.fixture(scope="session")
def scripted(tmp_path_factory) -> Iterator[httpx.Client]:
    """A client of a server without a model."""
    program = HERE / "engine_without_model.py"
    store = tmp_path_factory.mktemp("store") / "responses.db"
    command = [sys.executable, str(program), "qwen2.5", "8192", str(store)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE.parents[1]), str(HERE.parent)))}
    with started(command, environment) as url, httpx.Client(base_url=url.removesuffix("/v1"), timeout=60) as http:
        yield http


@pytest.fixture(scope="session")
def real(smollm2_path, tmp_path_factory) -> Iterator[httpx.Client]:
    """A client of `functiongate serve` with SmolLM2, and room for what agents send."""
    with _smollm2(smollm2_path, tmp_path_factory.mktemp("cache"), 4096) as http:
        yield http


@pytest.fixture(scope="session")
def real_small(smollm2_path, tmp_path_factory) -> Iterator[httpx.Client]:
    """The same with a small context: an answer without a limit ends there, in seconds."""
    with _smollm2(smollm2_path, tmp_path_factory.mktemp("cache"), 1024) as http:
        yield http


@contextmanager
def _smollm2(model: Path, cache: Path, n_ctx: int) -> Iterator[httpx.Client]:
    options = ("--prefix-disk", "0", "--ctx-size", str(n_ctx), "--cache-dir", str(cache), "--request-timeout", "30")
    with served(str(model), *options) as url, httpx.Client(base_url=url.removesuffix("/v1"), timeout=60) as http:
        yield http


@pytest.fixture(scope="session")
def schemathesis() -> Path:
    """Schemathesis' program."""
    given = os.environ.get("FUNCTIONGATE_SCHEMATHESIS")
    if given is None:
        pytest.fail("schemathesis is installed by `make test-conformance`, which names it")
    return Path(given)
