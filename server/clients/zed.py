"""Zed: its provider for llama-server, which finds the model and its context by itself.

There is one file of settings, and this is merged into it. Zed allows comments there; a file with some is not touched.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from server.clients.configuration import ConfigFile, Configuration
from server.errors import StartupError

if TYPE_CHECKING:
    from pathlib import Path

    from server.clients.configuration import Home
    from server.clients.reached import Reached

PROVIDER = "llama.cpp"


def configuration(server: Reached, home: Home) -> Configuration:
    """Zed's settings for a server."""
    path = home.config("zed") / "settings.json"
    settings: dict[str, Any] = {
        "language_models": {PROVIDER: {"api_url": server.url}},
        "agent": {"default_model": {"provider": PROVIDER, "model": server.model}},
    }
    key = "Zed keeps keys itself: give it the server's in its settings, under LLM providers."
    return Configuration(
        (ConfigFile(path, lambda before: _merged(path, before, settings)),), "zed", (key,) if server.has_key else ()
    )


def _merged(path: Path, before: str | None, settings: dict[str, Any]) -> str:
    try:
        known = json.loads(before) if before and before.strip() else {}
    except ValueError as error:
        raise StartupError(
            f"{path} is not plain JSON ({error}); comments would be lost: add what is printed without --write by hand"
        ) from error
    return json.dumps(_into(known, settings), indent=2, ensure_ascii=False) + "\n"


def _into(known: Any, more: Any) -> Any:
    """Objects joined, member by member; anything else is the new one."""
    if not (isinstance(known, dict) and isinstance(more, dict)):
        return more
    return {**known, **{name: _into(known.get(name), value) for name, value in more.items()}}
