"""The loops of the clients' own packages end: two tools, one after the other, then an answer that holds the fact."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SCRIPTS = [*sorted(HERE.glob("python/*_*.py")), *sorted(HERE.glob("node/*_*.mjs"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_clients_loop_of_two_tools_ends_with_the_fact(script, run, table):
    table[f"loop {script.stem}"] = {"result": "failed"}
    told = run(script)
    assert told["calls"] == ["search_articles", "read_article"]
    assert "1591" in told["answer"]
    assert not told["answer"].lstrip().startswith(("{", "[", "`", "<"))
    table[f"loop {script.stem}"] = {"result": "ends with the fact"}
