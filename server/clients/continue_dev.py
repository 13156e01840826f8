"""Continue: a file of one model, which it adds to those of all its configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.clients.configuration import NAME, ConfigFile, Configuration, always, quoted
from server.clients.reached import KEY_NAME

if TYPE_CHECKING:
    from server.clients.configuration import Home
    from server.clients.reached import Reached


def configuration(server: Reached, home: Home) -> Configuration:
    """Continue's file for a server."""
    path = home.folder("CONTINUE_GLOBAL_DIR", ".continue") / "models" / f"{NAME}.yaml"
    key = f"${{{{ secrets.{KEY_NAME} }}}}" if server.has_key else NAME
    text = (
        "name: FunctionGate\nversion: 1.0.0\nschema: v1\nmodels:\n"
        f"  - name: {quoted(f'FunctionGate {server.model}')}\n"
        "    provider: openai\n"
        f"    model: {quoted(server.model)}\n"
        f"    apiBase: {quoted(f'{server.url}/v1')}\n"
        f"    apiKey: {quoted(key)}\n"
        "    roles: [chat, edit, apply]\n"
        "    capabilities: [tool_use]\n"
        "    defaultCompletionOptions:\n"
        f"      contextLength: {server.n_ctx}\n"
        f"      maxTokens: {max(server.n_ctx // 4, 1024)}\n"
    )
    secret = f"Continue reads {KEY_NAME} from ~/.continue/.env; write the key there."
    return Configuration((ConfigFile(path, always(text)),), "code", (secret,) if server.has_key else ())
