"""Settings: precedence, bounds, and errors that name what is wrong."""

from __future__ import annotations

import os

import pytest

from server.config import Config, load_config
from server.errors import StartupError


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("FUNCTIONGATE_") or name == "PORT":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path):
    def write(text, name="settings.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_the_defaults_are_those_of_the_documentation():
    config = load_config({}, None)
    assert (config.model, config.host, config.port) == ("smollm2-135m", "127.0.0.1", 8000)
    assert (config.parallel, config.ctx_size, config.max_queue, config.api_key) == (4, 0, 64, ())


def test_flag_over_environment_over_platform_over_file_over_default(monkeypatch, file):
    path = file("port = 1\nparallel = 2")
    assert load_config({}, path).port == 1
    monkeypatch.setenv("PORT", "2")
    assert load_config({}, path).port == 2
    monkeypatch.setenv("FUNCTIONGATE_PORT", "3")
    assert load_config({}, path).port == 3
    config = load_config({"port": 4}, path)
    assert (config.port, config.parallel) == (4, 2)


def test_the_file_is_named_by_flag_or_environment_or_lies_in_place(monkeypatch, file):
    file("port = 1", "functiongate.toml")
    assert load_config({}, None).port == 1
    monkeypatch.setenv("FUNCTIONGATE_CONFIG", str(file("port = 2", "b.toml")))
    assert load_config({}, None).port == 2
    assert load_config({}, file("port = 3", "c.toml")).port == 3


def test_every_field_can_come_from_the_environment(monkeypatch):
    values = {
        "model": "m",
        "host": "h",
        "alias": "a",
        "family": "f",
        "chat_template": "gguf",
        "cache_dir": "/c",
        "verbose": "true",
        "api_key": "a, b,",
        "max_body_size": "2MiB",
        "max_itl": "50",
        "flash_attn": "off",
        "model_names": "strict",
        "repeat_calls": "allow",
        "more_calls": "model",
        "ungrounded_calls": "allow",
        "copied_arguments": "allow",
        "embeddings": "last",
        "strict_tools": "true",
        "temperature": "0.5",
    }
    for name in Config.model_fields:
        monkeypatch.setenv(f"FUNCTIONGATE_{name.upper()}", values.get(name, "5"))
    config = load_config({}, None)
    assert (config.api_key, config.max_body_size, config.threads) == (("a", "b"), 2 << 20, 5)
    assert set(config.model_dump()) - {"verbose"} == set(Config().model_dump()) - {"verbose"}
    assert all(getattr(config, name) != field.default for name, field in Config.model_fields.items())


def test_unknown_keys_of_the_file_are_named(file):
    with pytest.raises(StartupError, match="unknown keys: colour, prot"):
        load_config({}, file("prot = 1\ncolour = 2"))


@pytest.mark.parametrize(
    ("content", "reason"), [(b"port =", "not TOML"), (b"port = 70000", "invalid port"), (b"\xff", "not TOML")]
)
def test_a_bad_file_is_one_clear_line(tmp_path, content, reason):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(StartupError, match=reason) as caught:
        load_config({}, path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_that_was_named_is_an_error(tmp_path):
    with pytest.raises(StartupError, match="cannot read"):
        load_config({}, tmp_path / "absent.toml")


def test_a_bad_value_names_its_flag_and_its_variable(monkeypatch):
    monkeypatch.setenv("FUNCTIONGATE_CTX_SIZE", "many")
    with pytest.raises(StartupError, match="--ctx-size, FUNCTIONGATE_CTX_SIZE"):
        load_config({}, None)


def test_a_key_is_never_printed(file):
    with pytest.raises(StartupError) as caught:
        load_config({}, file("api_key = [['hush']]"))
    assert "hush" not in str(caught.value)
