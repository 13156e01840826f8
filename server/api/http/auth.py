"""Who may ask: `Authorization: Bearer KEY` or `X-Api-Key: KEY`, one of the server's keys.

An ASGI middleware, so that a refused request is refused before its body is read. Without keys everyone may
ask; `/health` (`/v1/health` too) is always public, since load balancers have no key.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from server.api.http.errors import error_response
from server.errors import UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

PUBLIC_PATHS = frozenset({"/health", "/v1/health"})


class ApiKeyMiddleware:
    """Lets through what shows one of `keys`, with `request.state.owner` saying whose; answers the rest with 401."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._keys = tuple(key.encode() for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and self._keys and scope["path"] not in PUBLIC_PATHS:
            shown = _shown_key(Headers(scope=scope))
            owner = None if shown is None else self._owner(shown)
            if owner is None:
                response = error_response(scope, _refusal(shown))
                response.headers["www-authenticate"] = "Bearer"
                await response(scope, receive, send)
                return
            scope.setdefault("state", {})["owner"] = owner
        await self._app(scope, receive, send)

    def _owner(self, shown: str) -> str | None:
        """Who has this key; None if nobody. The name is the key's in every process, and tells nothing of it."""
        # Every key is compared, each in constant time: the time taken tells nothing about which one nearly
        # matched.
        given = shown.encode("latin-1")  # the header's own bytes
        matches = [hmac.compare_digest(given, key) for key in self._keys]
        return f"key {hashlib.sha256(given).hexdigest()[:32]}" if any(matches) else None


def _shown_key(headers: Headers) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("x-api-key")


def _refusal(shown: str | None) -> UnauthorizedError:
    message = (
        "This server wants an API key: send the header 'Authorization: Bearer YOUR_KEY'."
        if shown is None
        else "Incorrect API key provided."
    )
    return UnauthorizedError(message, code="invalid_api_key")
