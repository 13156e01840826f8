"""`functiongate launch` against a server that answers as ours does."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from server.__main__ import run

TOLD = {
    "object": "list",
    "data": [{"id": "tiny", "meta": {"n_ctx": 4096}}],
    "models": [{"slug": "tiny"}],
}


@pytest.fixture(autouse=True)
def server(monkeypatch, tmp_path):
    """Answers every client of httpx; the user's home is a new folder."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=TOLD))
    monkeypatch.setattr(httpx, "Client", lambda timeout, real=httpx.Client: real(timeout=timeout, transport=transport))
    for name in ("CODEX_HOME", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CONTINUE_GLOBAL_DIR", "FUNCTIONGATE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("client", ["codex", "opencode", "claude", "zed", "continue"])
def test_a_configuration_is_printed_and_nothing_is_written(client, capsys, tmp_path):
    assert run(["launch", client]) == 0
    shown = capsys.readouterr()
    assert "127.0.0.1:8000" in shown.out
    assert "# start it with" in shown.out
    assert list(tmp_path.iterdir()) == []
    assert ("--ctx-size" in shown.err) is (client in {"codex", "opencode", "claude"})


@pytest.mark.parametrize("client", ["codex", "opencode", "claude", "zed", "continue"])
def test_a_configuration_is_written_where_its_client_looks(client, capsys, tmp_path):
    assert run(["launch", client, "--write", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    for file in told["files"]:
        assert Path(file["path"]).read_text("utf-8") == file["text"]
        assert file["backup"] is None
        assert file["path"].startswith(str(tmp_path))


def test_what_was_there_is_told(capsys, tmp_path):
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "functiongate.json").write_text("{}")
    assert run(["launch", "claude", "--write"]) == 0
    assert "functiongate.json.bak" in capsys.readouterr().out


def test_a_key_goes_into_no_file(capsys):
    for client in ("codex", "opencode", "claude", "zed", "continue"):
        assert run(["launch", client, "--api-key", "hush-hush"]) == 0
    shown = capsys.readouterr()
    assert "hush-hush" not in shown.out + shown.err


def test_a_client_that_is_not_known_is_not_understood(capsys):
    assert run(["launch", "emacs"]) == 2
    assert "codex" in capsys.readouterr().err
