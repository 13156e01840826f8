"""opencode: a file of its own, named by a variable. It speaks chat completions.

The prompt of its own agent takes some 7,200 tokens; the agent that this file adds, with fewer tools and a prompt for
small models, takes 2,750 (1.18.33, counted by Qwen2.5's tokenizer).
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from server.clients.configuration import NAME, ConfigFile, Configuration, always
from server.clients.instructions import INSTRUCTIONS
from server.clients.reached import KEY_NAME

if TYPE_CHECKING:
    from server.clients.configuration import Home
    from server.clients.reached import Reached

ROOM = 8192
"""Tokens of context below which little is left for work beside the added agent's prompt."""
# Other tools are not even shown. What is asked for is what opencode's own agents ask for.
_PERMISSION = {
    "*": "deny",
    "bash": "allow",
    "read": "allow",
    "edit": "allow",
    "external_directory": "ask",
    "doom_loop": "ask",
}


def configuration(server: Reached, home: Home) -> Configuration:
    """Opencode's file for a server: the model, and an agent of its own that is the default; Tab leads to the others."""
    path = home.config("opencode") / f"{NAME}.json"
    model = f"{NAME}/{server.model}"
    limit = {"context": server.n_ctx, "output": max(server.n_ctx // 4, 1024)}
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "model": model,
        "small_model": model,
        "default_agent": NAME,
        "agent": {
            NAME: {
                "description": "Reads, edits and runs; a short prompt for small models",
                "mode": "primary",
                "prompt": INSTRUCTIONS,
                "permission": _PERMISSION,
            }
        },
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
        f"opencode's prompt takes some 2,750 tokens with the agent {NAME!r}, 7,200 with its own, and the context holds "
        f"{server.n_ctx}; start the server with --ctx-size {ROOM} or more."
    )
    return Configuration(
        (ConfigFile(path, always(json.dumps(settings, indent=2) + "\n")),),
        f"OPENCODE_CONFIG={shlex.quote(str(path))} opencode",
        (warning,) if server.n_ctx < ROOM else (),
    )
