"""What clients ask for beside loops: every choice of a tool, structured outputs, streams, state, counting."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPTS = sorted((Path(__file__).parent / "shapes").glob("*_shapes.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_client_gets_what_it_asks_for(script, run, table):
    told = run(script)
    table[script.stem] = told
    assert told["tried"]
    assert {name: came for name, came in told["tried"].items() if came != "ok"} == {}
