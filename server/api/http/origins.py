"""Which pages may use the server from a browser.

Knows origins and headers, no route. Laws: a preflight needs no key; where everyone may ask, a page that is not allowed
is refused, and not only kept from reading the answer. Without that a page could point its own name at this machine
(DNS rebinding), and its requests would be of its own origin. No name can be pointed at what an address in numbers
already says, so a page from this server by such an address is its own. Whoever shows a key needs no origin.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware

from server.api.http.errors import error_response
from server.errors import ForbiddenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = "local"
"""Stands for the pages and the programs with windows of this machine."""
ANY = "*"

_LOCAL = (
    r"https?://(([a-z0-9-]+\.)*localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?"
    r"|(app|tauri|vscode-file|vscode-webview)://[^/]*|file://"
)
_METHODS = ("GET", "HEAD", "POST", "DELETE")
_TOLD = ("request-id", "x-request-id", "retry-after", "openai-processing-ms")


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins that may ask: those named, all (`ANY`), and those of this machine (`LOCAL`)."""

    named: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """A regular expression that the allowed origins match, and nothing else does."""
        exact = [re.escape(name.rstrip("/")) for name in self.named if name not in (LOCAL, ANY)]
        kinds = [*([".*"] if ANY in self.named else []), *([_LOCAL] if LOCAL in self.named else [])]
        return "|".join(f"(?:{each})" for each in (*exact, *kinds)) or "(?!)"

    def allows(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may ask a server that it calls `host`."""
        return re.fullmatch(self.pattern, origin) is not None or (
            urlsplit(origin).netloc == host and _is_address(urlsplit(origin).hostname)
        )


class OriginMiddleware:
    """Tells browsers who may ask, and, unless there are keys, refuses pages that may not with 403."""

    def __init__(self, app: ASGIApp, origins: Iterable[str], *, has_keys: bool) -> None:
        self._origins = Origins(tuple(origins))
        self._has_keys = has_keys
        self._app = app
        self._shared = CORSMiddleware(
            self._admit,
            allow_origin_regex=self._origins.pattern,
            allow_methods=_METHODS,
            allow_headers=(ANY,),
            expose_headers=_TOLD,
            allow_private_network=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self._shared(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._has_keys:
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and not self._origins.allows(origin, headers.get("host", "")):
                await error_response(scope, _refusal(origin))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_address(hostname: str | None) -> bool:
    try:
        ipaddress.ip_address(hostname or "")
    except ValueError:
        return False
    return True


def _refusal(origin: str) -> ForbiddenError:
    return ForbiddenError(
        f"Pages of {origin} may not use this server. Start it with --cors-origins {origin}, or with --api-key.",
        code="origin_not_allowed",
    )
