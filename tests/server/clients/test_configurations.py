"""What each client is given, read back as that client's own format."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from server.clients import claude, codex, continue_dev, opencode, zed
from server.clients.configuration import Home, write
from server.clients.reached import KEY_NAME, Reached
from server.errors import StartupError

CLIENTS = {"codex": codex, "claude": claude, "opencode": opencode, "zed": zed, "continue": continue_dev}
ENTRY = {"slug": "qwen", "context_window": 65_536}
SERVER = Reached("http://127.0.0.1:8000", "qwen", 65_536, (ENTRY,))
SMALL = Reached("http://127.0.0.1:8000", "qwen", 4096, (ENTRY,))
KEYED = Reached("http://127.0.0.1:8000", "qwen", 65_536, (ENTRY,), has_key=True)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "höme \"with' all", {})


def made(client, server, home):
    return CLIENTS[client].configuration(server, home)


def written(client, server, home):
    """The files as they are after writing, by their names."""
    configuration = made(client, server, home)
    for file in configuration.files:
        write(file)
    return {file.path.name: file.path.read_text("utf-8") for file in configuration.files}


def test_codex_gets_a_profile_and_the_catalogue_that_it_names(home):
    files = written("codex", SERVER, home)
    profile = tomllib.loads(files["functiongate.config.toml"])
    provider = profile["model_providers"][profile["model_provider"]]
    assert (provider["base_url"], provider["wire_api"]) == ("http://127.0.0.1:8000/v1", "responses")
    assert profile["model"] == "qwen"
    assert json.loads(Path(profile["model_catalog_json"]).read_text("utf-8")) == {"models": [ENTRY]}
    assert made("codex", SERVER, home).run == "codex --profile functiongate"


def test_claude_gets_settings_that_point_at_the_server(home):
    (text,) = written("claude", SERVER, home).values()
    environment = json.loads(text)["env"]
    assert environment["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8000"
    assert {environment[name] for name in environment if name.endswith("_MODEL")} == {"qwen"}
    assert environment["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] == "65536"
    assert all(isinstance(value, str) for value in environment.values())
    words = shlex.split(made("claude", SERVER, home).run)
    assert words[:2] == ["claude", "--settings"]
    assert words[2] == str(made("claude", SERVER, home).files[0].path)


def test_opencode_gets_a_provider_with_the_model_and_its_context(home):
    (text,) = written("opencode", SERVER, home).values()
    settings = json.loads(text)
    provider, model = settings["model"].split("/", 1)
    assert settings["provider"][provider]["options"]["baseURL"] == "http://127.0.0.1:8000/v1"
    assert settings["provider"][provider]["models"][model]["limit"]["context"] == 65_536
    agent = settings["agent"][settings["default_agent"]]
    assert agent["mode"] == "primary"
    assert agent["permission"]["*"] == "deny"
    assert agent["permission"]["bash"] == "allow"


def test_continue_gets_a_model(home):
    (text,) = written("continue", SERVER, home).values()
    settings = yaml.safe_load(text)
    (model,) = settings["models"]
    assert {"name", "version", "schema"} < settings.keys()
    assert (model["provider"], model["apiBase"], model["model"]) == ("openai", "http://127.0.0.1:8000/v1", "qwen")
    assert model["defaultCompletionOptions"]["contextLength"] == 65_536


def test_zed_keeps_what_is_in_its_settings(home):
    (file,) = made("zed", SERVER, home).files
    file.path.parent.mkdir(parents=True)
    before = {"theme": "One", "agent": {"dock": "left"}, "language_models": {"ollama": {"api_url": "x"}}}
    file.path.write_text(json.dumps(before))
    (text,) = written("zed", SERVER, home).values()
    assert json.loads(text) == {
        "theme": "One",
        "agent": {"dock": "left", "default_model": {"provider": "llama.cpp", "model": "qwen"}},
        "language_models": {"ollama": {"api_url": "x"}, "llama.cpp": {"api_url": "http://127.0.0.1:8000"}},
    }


def test_settings_of_zed_with_comments_are_not_touched(home):
    (file,) = made("zed", SERVER, home).files
    file.path.parent.mkdir(parents=True)
    file.path.write_text('// mine\n{"theme": "One"}')
    with pytest.raises(StartupError, match="by hand"):
        write(file)
    assert file.path.read_text() == '// mine\n{"theme": "One"}'
    assert list(file.path.parent.iterdir()) == [file.path]


@pytest.mark.parametrize("client", CLIENTS)
def test_names_of_any_letters_are_quoted(client, home):
    odd = Reached("http://127.0.0.1:8000", 'a"b\\c 😀 ${x}', 65_536)
    for name, text in written(client, odd, home).items():
        if name.endswith("toml"):
            assert tomllib.loads(text)["model"] == odd.model
        elif name.endswith("yaml"):
            assert yaml.safe_load(text)["models"][0]["model"] == odd.model
        elif "models" not in name:
            assert json.dumps(odd.model, ensure_ascii="\\u" in text) in text


@pytest.mark.parametrize("client", CLIENTS)
def test_a_key_is_in_no_file_and_every_user_of_one_is_told_where_it_goes(client, home):
    configuration = made(client, KEYED, home)
    everything = "".join(written(client, KEYED, home).values()) + configuration.run + "".join(configuration.warnings)
    assert KEY_NAME in everything or "key" in everything


@pytest.mark.parametrize("client", ["codex", "claude", "opencode"])
def test_a_context_that_is_too_small_for_a_clients_prompt_is_warned_of(client, home):
    assert made(client, SERVER, home).warnings == ()
    (warning,) = made(client, SMALL, home).warnings
    assert "4096" in warning
    assert "--ctx-size" in warning
    assert ("--bare" in made(client, SMALL, home).run) is (client == "claude")


@pytest.mark.parametrize("client", CLIENTS)
def test_what_was_there_is_kept_beside_it_each_time_it_changes(client, home):
    for file in made(client, SERVER, home).files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text('{"mine": 1}')
        kept = write(file)
        assert kept is not None
        assert kept.read_text() == '{"mine": 1}'
        assert write(file) is None, "the same again changes nothing"
        file.path.write_text('{"mine": 2}')
        again = write(file)
        assert again not in (None, kept)
        assert (kept.read_text(), again.read_text()) == ('{"mine": 1}', '{"mine": 2}')


def test_folders_that_variables_move_are_found(tmp_path):
    moved = Home(tmp_path, {"CODEX_HOME": str(tmp_path / "c"), "XDG_CONFIG_HOME": str(tmp_path / "x")})
    assert made("codex", SERVER, moved).files[0].path.parent == tmp_path / "c"
    assert made("zed", SERVER, moved).files[0].path == tmp_path / "x" / "zed" / "settings.json"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / ".codex").write_text("a file")
    with pytest.raises(StartupError, match="cannot write"):
        write(made("codex", SERVER, Home(tmp_path, {})).files[0])
