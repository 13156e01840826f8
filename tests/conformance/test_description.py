"""Schemathesis over the description: right and wrong bodies for every operation, and chains of operations.

`FUNCTIONGATE_CONFORMANCE_EXAMPLES` is how many it tries of each operation without a model.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HOOKS = Path(__file__).parent / "deeper_bodies.py"
EXAMPLES = int(os.environ.get("FUNCTIONGATE_CONFORMANCE_EXAMPLES") or 520)
LEAST = 20 * EXAMPLES
REAL_EXAMPLES = 4
LONGEST = 24  # tokens of a real model's answer: what it says is not judged here
DEADLINE_S = 60  # the server gives a request up after thirty: its 408 comes first
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
    *("unsupported_method", "allow_header_conformance"),
)


@pytest.fixture
def tried(schemathesis, tmp_path):
    def run(url: str, n: int, seed: int, *, longest: int | None = None) -> str:
        command = [
            *(str(schemathesis), "run", f"{url}/openapi.json", "--max-examples", str(n), "--seed", str(seed)),
            *("--checks", ",".join(CHECKS), "--request-timeout", str(DEADLINE_S), "--phases"),
            *("examples,coverage,fuzzing,stateful", "--continue-on-failure", "--warnings", "off", "--no-color"),
            *("--suppress-health-check", "all"),
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS), "LONGEST_ANSWER": str(longest or "")}
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=3600, check=False
        )
        assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2000:]
        return ran.stdout

    return run


def test_every_operation_answers_as_described_without_a_model(tried, scripted, measured):
    with measured("description, no model", scripted) as row:
        told = tried(str(scripted.base_url).rstrip("/"), EXAMPLES, 1)
        row["cases"] = int(re.search(r"(\d+) generated", told)[1])
    assert row["cases"] > LEAST


def test_every_operation_answers_as_described_with_a_model(tried, real_small, measured):
    with measured("description, SmolLM2", real_small) as row:
        told = tried(str(real_small.base_url).rstrip("/"), REAL_EXAMPLES, 2, longest=LONGEST)
        row["cases"] = int(re.search(r"(\d+) generated", told)[1])
