"""Codex: a profile of its own, and a catalogue that tells it the model.

Codex gives a model that it does not know 40,000 characters of instructions and tools, 14 to 15 thousand tokens. With
the catalogue and without what a small model does not use or is misled by (skills, images, what Codex says of its own
sandbox), 6,300 characters are left (0.171).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from server.clients.configuration import NAME, ConfigFile, Configuration, always, quoted
from server.clients.reached import KEY_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from server.clients.configuration import Home
    from server.clients.reached import Reached

ROOM = 8192
"""Tokens of context below which little is left for work beside the prompt of 1,250."""
_IDLE_MS = 900_000  # a long prompt on a CPU


def configuration(server: Reached, home: Home) -> Configuration:
    """Codex's files for a server."""
    folder = home.folder("CODEX_HOME", ".codex")
    catalogue = folder / f"{NAME}-models.json"
    models = json.dumps({"models": list(server.catalogue)}, indent=2) + "\n"
    warnings = []
    if server.n_ctx < ROOM:
        warnings.append(
            f"Codex's prompt takes some 1,250 tokens with this profile, 15,000 without, and the context holds "
            f"{server.n_ctx}; start the server with --ctx-size {ROOM} or more."
        )
    files = (
        ConfigFile(folder / f"{NAME}.config.toml", always(_profile(server, catalogue))),
        ConfigFile(catalogue, always(models)),
    )
    return Configuration(files, f"codex --profile {NAME}", tuple(warnings))


def _profile(server: Reached, catalogue: Path) -> str:
    key = f"env_key = {quoted(KEY_NAME)}\n" if server.has_key else ""
    return (
        f"model = {quoted(server.model)}\n"
        f"model_provider = {quoted(NAME)}\n"
        f"model_catalog_json = {quoted(str(catalogue))}\n"
        'web_search = "disabled"\n'
        "include_permissions_instructions = false\n\n"
        "[agents]\nenabled = false\n\n"
        "[features]\ngoals = false\nview_image = false\n\n"
        "[skills]\ninclude_instructions = false\n\n"
        f"[model_providers.{NAME}]\n"
        'name = "FunctionGate"\n'
        f"base_url = {quoted(f'{server.url}/v1')}\n"
        'wire_api = "responses"\n'
        f"stream_idle_timeout_ms = {_IDLE_MS}\n"
        f"{key}"
    )
