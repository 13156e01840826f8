"""opencode: a file of its own, named by a variable. It speaks chat completions.

Its prompt takes some 7,200 tokens (1.18.33, counted by Qwen2.5's tokenizer).
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from server.clients.configuration import NAME, ConfigFile, Configuration, always
from server.clients.reached import KEY_NAME

if TYPE_CHECKING:
    from server.clients.configuration import Home
    from server.clients.reached import Reached

ROOM = 16_384
"""Tokens of context below which little is left for work beside the prompt."""


def configuration(server: Reached, home: Home) -> Configuration:
    """Opencode's file for a server."""
    path = home.config("opencode") / f"{NAME}.json"
    model = f"{NAME}/{server.model}"
    limit = {"context": server.n_ctx, "output": max(server.n_ctx // 4, 1024)}
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "model": model,
        "small_model": model,
        "provider": {
            NAME: {
                "npm": "@ai-sdk/openai-compatible",
                "name": "FunctionGate",
                "options": {
                    "baseURL": f"{server.url}/v1",
                    "apiKey": f"{{env:{KEY_NAME}}}" if server.has_key else NAME,
                },
                "models": {server.model: {"name": server.model, "tool_call": True, "limit": limit}},
            }
        },
    }
    warning = (
        f"opencode's prompt takes some 7,200 tokens and the context holds {server.n_ctx}; start the server with "
        f"--ctx-size {ROOM} or more."
    )
    return Configuration(
        (ConfigFile(path, always(json.dumps(settings, indent=2) + "\n")),),
        f"OPENCODE_CONFIG={shlex.quote(str(path))} opencode",
        (warning,) if server.n_ctx < ROOM else (),
    )
