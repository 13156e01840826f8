"""Agents in a terminal, as `functiongate launch` configures them: a tool is called, and what it found is told.

The 0.5B calls tools that Codex refuses; the matrix takes the 1.5B where FUNCTIONGATE_AGENTS_MODEL names it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from served import served

pytestmark = pytest.mark.slow

QUESTION = "Run `cat notes.txt`: when was the bridge finished?"
TIMEOUT_S = 400  # opencode's prompt has 2,750 tokens


class Told(NamedTuple):
    """What an agent did: the tools that it ran without an error, and its last words."""

    ran: list[str]
    words: str


class Agent(NamedTuple):
    """How an agent is started: its npm package, its program under `node_modules`, what it is asked, how it tells it."""

    package: str
    program: str
    arguments: Sequence[str]
    told: Callable[[Sequence[dict[str, Any]]], Told]


def codex_told(lines: Sequence[dict[str, Any]]) -> Told:
    items = [line["item"] for line in lines if line["type"] == "item.completed"]
    ran = [i["command"] for i in items if i["type"] == "command_execution" and i["exit_code"] == 0]
    return Told(ran, [i["text"] for i in items if i["type"] == "agent_message"][-1])


def opencode_told(lines: Sequence[dict[str, Any]]) -> Told:
    parts = [line["part"] for line in lines if "part" in line]
    states = [part["state"] for part in parts if part["type"] == "tool"]
    ran = [json.dumps(state["input"]) for state in states if state["status"] == "completed"]
    return Told(ran, [part["text"] for part in parts if part["type"] == "text"][-1])


def claude_told(lines: Sequence[dict[str, Any]]) -> Told:
    blocks = [b for line in lines if line["type"] in ("assistant", "user") for b in line["message"]["content"]]
    failed = {b["tool_use_id"] for b in blocks if b["type"] == "tool_result" and b.get("is_error")}
    ran = [json.dumps(b["input"]) for b in blocks if b["type"] == "tool_use" and b["id"] not in failed]
    return Told(ran, next(line["result"] for line in lines if line["type"] == "result"))


CLAUDE = (
    "--settings {home}/.claude/functiongate.json --bare --print --verbose --output-format stream-json "
    "--allowedTools Bash,Read --"
)
AGENTS = {
    "codex": Agent(
        "@openai/codex",
        ".bin/codex",
        ["exec", "--profile", "functiongate", "--skip-git-repo-check", "--json", QUESTION],
        codex_told,
    ),
    # Its program is what the package's script would put into .bin, and npm asks before it runs scripts.
    "opencode": Agent(
        "opencode-ai",
        "opencode-linux-*/bin/opencode",
        ["run", "--format", "json", "--title", "notes", QUESTION],
        opencode_told,
    ),
    "claude": Agent(
        "@anthropic-ai/claude-code",
        ".bin/claude",
        [*CLAUDE.split(), QUESTION],
        claude_told,
    ),
}


@pytest.fixture(scope="module")
def model() -> str:
    return os.environ.get("FUNCTIONGATE_AGENTS_MODEL") or "qwen2.5-coder-1.5b"


@pytest.fixture(scope="module")
def ask(model: str, clients: Path) -> Iterator[Callable[[str, Path], Told]]:
    """Has an agent configured by `launch`, in a folder of its own, and asks it the question."""
    with served(model, "--prefix-disk", "0") as url:
        yield lambda name, folder: _asked(name, url.removesuffix("/v1"), clients / "node" / "node_modules", folder)


@pytest.fixture(scope="module")
def packaged(model: str, clients: Path) -> Callable[[str], dict[str, Any]]:
    """What the table tells of an agent: its package's version, and the model."""

    def packaged(package: str) -> dict[str, Any]:
        text = (clients / "node" / "node_modules" / package / "package.json").read_text()
        return {"versions": {package: json.loads(text)["version"]}, "model": Path(model).stem}

    return packaged


def _asked(name: str, url: str, modules: Path, folder: Path) -> Told:
    agent, project, home = AGENTS[name], folder / "project", folder / "home"
    project.mkdir()
    home.mkdir()
    (project / "notes.txt").write_text("The bridge was finished in 1591.\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "CLAUDE"))}
    environment["HOME"], environment["PWD"] = str(home), str(project)  # opencode reads PWD
    environment["CODEX_HOME"] = str(home / ".codex")
    environment["OPENCODE_CONFIG"] = str(home / ".config" / "opencode" / "functiongate.json")
    launch = [sys.executable, "-m", "server", "launch", name, "--url", url, "--write"]
    subprocess.run(launch, env=environment, check=True, timeout=60)
    program = min(modules.glob(agent.program), key=lambda path: len(str(path)))
    ran = subprocess.run(
        [program, *(argument.format(home=home) for argument in agent.arguments)],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert lines, ran.stderr
    return agent.told(lines)


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_calls_a_tool_and_tells_what_it_found(name, ask, packaged, table, tmp_path):
    told = ask(name, tmp_path)
    assert any("notes.txt" in tool for tool in told.ran), told
    assert "1591" in told.words
    table[name] = {"tried": {"a tool and its result": "ok"}, **packaged(AGENTS[name].package)}
