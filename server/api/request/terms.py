"""How a request wants to be served: its key's owner, its timeout, its cache key.

Knows the wire and who was let in, not what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.engine.types import ServiceTerms

if TYPE_CHECKING:
    from starlette.requests import Request


def owner_of(request: Request) -> str:
    """Whose key let the request in; empty where there are no keys."""
    owner: str = getattr(request.state, "owner", "")
    return owner


def read_terms(request: Request, *, timeout_s: float | None = None, cache_key: str | None = None) -> ServiceTerms:
    """The terms of a request. Keys of different owners never meet, whatever clients call them."""
    owner = owner_of(request)
    return ServiceTerms(owner, timeout_s, None if cache_key is None else f"{owner}/{cache_key}")
