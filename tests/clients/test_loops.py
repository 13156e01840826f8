"""The loops of the clients' own packages end: two tools, one after the other, then an answer that holds the fact.

Run by `make test-clients`, which installs the clients and names their folder and the model's file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import served

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SCRIPTS = [*sorted(HERE.glob("python/*_*.py")), *sorted(HERE.glob("node/*_*.mjs"))]


@pytest.fixture(scope="module")
def clients() -> Path:
    """The folder of the installed clients."""
    given = os.environ.get("FUNCTIONGATE_CLIENTS")
    if given is None:
        pytest.fail("the clients are installed by `make test-clients`, which names their folder")
    return Path(given)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    model = os.environ.get("FUNCTIONGATE_CLIENTS_MODEL") or "qwen2.5-coder-0.5b"
    with served(model, "--prefix-disk", "0") as url:
        yield url


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_clients_loop_of_two_tools_ends_with_the_fact(script, clients, base_url):
    is_node = script.suffix == ".mjs"
    program = shutil.which("node") if is_node else clients / "bin" / "python"
    where = clients / "node" / script.name if is_node else script  # node looks for packages beside its script
    ran = subprocess.run([str(program), str(where), base_url], capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["calls"] == ["search_articles", "read_article"]
    assert "1591" in told["answer"]
    assert not told["answer"].lstrip().startswith(("{", "[", "`", "<"))
