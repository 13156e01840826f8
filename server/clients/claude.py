"""Claude Code: a file of settings of its own, whose environment points at the server.

Its prompt takes some 21,000 tokens; with `--bare` 1,100 (2.1.197, counted by Qwen2.5's tokenizer).
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

ROOM = 32_768
"""Tokens of context below which little is left for work beside the whole prompt."""


def configuration(server: Reached, home: Home) -> Configuration:
    """Claude Code's file for a server, and the options that keep its prompt small where the context is."""
    path = home.folder("CLAUDE_CONFIG_DIR", ".claude") / f"{NAME}.json"
    settings = {"env": _environment(server)}
    is_small = server.n_ctx < ROOM
    words = ["claude", "--settings", str(path), *(["--bare"] if is_small else [])]
    run = shlex.join(words)
    if server.has_key:
        run = f'ANTHROPIC_AUTH_TOKEN="${KEY_NAME}" {run}'
    warning = (
        f"Claude Code's prompt takes some 21,000 tokens and the context holds {server.n_ctx}; --bare leaves 1,100 of "
        f"them. For the whole of it start the server with --ctx-size {ROOM} or more."
    )
    file = ConfigFile(path, always(json.dumps(settings, indent=2) + "\n"))
    return Configuration((file,), run, (warning,) if is_small else ())


def _environment(server: Reached) -> dict[str, str]:
    kinds = ("ANTHROPIC_MODEL", *(f"ANTHROPIC_DEFAULT_{kind}_MODEL" for kind in ("OPUS", "SONNET", "HAIKU")))
    # It refuses to start without some key.
    key = {} if server.has_key else {"ANTHROPIC_AUTH_TOKEN": NAME}
    return {
        "ANTHROPIC_BASE_URL": server.url,
        **key,
        **dict.fromkeys(kinds, server.model),
        "CLAUDE_CODE_AUTO_COMPACT_WINDOW": str(server.n_ctx),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(max(server.n_ctx // 4, 1024)),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
