"""`functiongate tune --calls`: what it leaves alone."""

from __future__ import annotations

import pytest

from server.commands.tune import tune
from server.errors import StartupError


@pytest.fixture
def configured(monkeypatch):
    """The configurations with which models were loaded; none is."""
    found = []

    def load(config, *_):
        found.append(config)
        raise StartupError("not here")

    monkeypatch.setattr("server.launch.load_chat", load)
    return found


def test_the_prefixes_that_a_server_keeps_stay_where_they_are(configured, monkeypatch, tmp_path):
    monkeypatch.setenv("FUNCTIONGATE_PREFIX_DISK", "1GiB")
    with pytest.raises(StartupError):
        tune("model.gguf", calls=True, cache_dir=tmp_path)
    (config,) = configured
    assert (config.prefix_ram, config.prefix_disk) == (0, 0)
    assert list(tmp_path.iterdir()) == []
