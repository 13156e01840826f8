"""How a request wants to be served: its key's owner, its timeout, its cache key.

Knows the wire and who was let in, not what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.api.chat.schemas import ChatCompletionRequest
from server.engine.types import ServiceTerms

if TYPE_CHECKING:
    from starlette.requests import Request

    from server.api.chat.schemas import SampledRequest


def read_terms(wanted: SampledRequest, request: Request) -> ServiceTerms:
    """The terms of a validated body. Keys of different owners never meet, whatever clients call them."""
    owner = getattr(request.state, "owner", "")
    named = wanted.prompt_cache_key if isinstance(wanted, ChatCompletionRequest) else None
    return ServiceTerms(owner, wanted.timeout, None if named is None else f"{owner}/{named}")
