"""Agents in a terminal, as `functiongate launch` configures them: a command is run, and its output is told.

The 0.5B fills in arguments that Codex refuses; the matrix takes the 1.5B where FUNCTIONGATE_AGENTS_MODEL names it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from served import served

pytestmark = pytest.mark.slow


def test_codex_runs_the_command_that_it_is_asked_to_run_and_tells_its_output(clients, table, tmp_path):
    model = os.environ.get("FUNCTIONGATE_AGENTS_MODEL") or "qwen2.5-coder-1.5b"
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    home.mkdir()
    (project / "notes.txt").write_text("The bridge was finished in 1591.\n")
    environment = {**os.environ, "HOME": str(home), "CODEX_HOME": str(home / ".codex")}
    with served(model, "--prefix-disk", "0") as url:
        launch = ["launch", "codex", "--url", url.removesuffix("/v1"), "--write"]
        subprocess.run([sys.executable, "-m", "server", *launch], env=environment, check=True, timeout=60)
        codex = clients / "node" / "node_modules" / ".bin" / "codex"
        question = "Run `cat notes.txt`: when was the bridge finished?"
        ran = subprocess.run(
            [codex, "exec", "--profile", "functiongate", "--skip-git-repo-check", "--json", question],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    items = [told["item"] for told in _lines(ran.stdout) if told["type"] == "item.completed"]
    (command,) = (item for item in items if item["type"] == "command_execution")
    assert command["exit_code"] == 0, ran.stderr
    assert "cat notes.txt" in command["command"]
    (answer,) = (item for item in items if item["type"] == "agent_message")
    assert "1591" in answer["text"]
    package = json.loads((clients / "node" / "node_modules" / "@openai" / "codex" / "package.json").read_text())
    table["codex"] = {
        "tried": {"exec": "ok"},
        "versions": {"@openai/codex": package["version"]},
        "model": Path(model).stem,
    }


def _lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
