"""A running server as a client reaches it: its address, the model, how much it holds.

Knows HTTP and this server's own routes; no client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.errors import StartupError

if TYPE_CHECKING:
    import httpx

KEY_NAME = "FUNCTIONGATE_API_KEY"
"""The variable in which clients find the key. It is written into no file."""


@dataclass(frozen=True, slots=True)
class Reached:
    """`url` is the server's root without a slash, `n_ctx` in tokens; `catalogue` are Codex's entries of the model."""

    url: str
    model: str
    n_ctx: int
    catalogue: tuple[Mapping[str, Any], ...] = ()
    has_key: bool = False


def reach(client: httpx.Client, url: str, api_key: str | None) -> Reached:
    """Ask a server what it is. Raises `StartupError` if there is none, or none of ours, or its model is loading."""
    import httpx  # noqa: PLC0415 -- the command line answers before it is loaded

    root = url.rstrip("/").removesuffix("/v1")
    headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
    try:
        answer = client.get(f"{root}/v1/models", headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StartupError(
            f"no server answers at {root} ({error}); start one with `functiongate serve`, or name it with --url"
        ) from error
    if answer.status_code == 401:
        raise StartupError(f"the server at {root} wants a key: set {KEY_NAME}, or give --api-key")
    try:
        told = answer.json()
        catalogue = tuple(told["models"])
        names = [(str(entry["id"]), int(entry["meta"]["n_ctx"])) for entry in told["data"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StartupError(f"the server at {root} is no FunctionGate of this version") from error
    if not names:
        raise StartupError(f"the server at {root} is still loading its model; try again in some seconds")
    return Reached(root, *names[0], catalogue=catalogue, has_key=api_key is not None)
