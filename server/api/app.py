"""The HTTP application, put together from its visible parts: state, routes, layers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import FastAPI

from server.api.document.operation import Description
from server.api.http.auth import ApiKeyMiddleware
from server.api.http.errors import OPENAI, install_error_handlers
from server.api.http.origins import LOCAL, OriginMiddleware
from server.api.http.tracing import TracingMiddleware
from server.api.messages.errors import MESSAGES
from server.api.routes import Served, add_routes
from server.api.system.metrics import HttpMetrics
from server.version import functiongate_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.api.responses.stored.store import ResponseStore
    from server.api.state import ServingState

DEFAULT_MAX_BODY_BYTES = 4 << 20  # a hundred services' tools are some 100 KB; the rest is for prompts
DEFAULT_PING_INTERVAL_S = 10.0

# Codex asks again after a 503 and gives up after a 429.
RESPONSES_ERRORS = replace(OPENAI, statuses={429: 503})


def create_app(
    state: ServingState,
    *,
    api_keys: Sequence[str] = (),
    cors_origins: Sequence[str] = (LOCAL,),
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    ping_interval_s: float = DEFAULT_PING_INTERVAL_S,
    store: ResponseStore | None = None,
    strict_tools: bool = False,
) -> FastAPI:
    """The ASGI application that serves the state's model.

    Without `api_keys` everyone may ask, but for pages in browsers that are not of `cors_origins`; see
    `server.api.http.origins`. Responses are kept in `store`, which stays the caller's to close. With `strict_tools`
    tools that a cloud runs are refused, not left out.
    """
    app = FastAPI(title="FunctionGate", version=functiongate_version(), docs_url=None, redoc_url=None)
    metrics = HttpMetrics(state)
    install_error_handlers(
        app, {"/v1/messages": MESSAGES, "/v1/responses": RESPONSES_ERRORS, "/responses": RESPONSES_ERRORS}
    )
    # The last one added is the outermost.
    app.add_middleware(ApiKeyMiddleware, keys=api_keys)
    app.add_middleware(OriginMiddleware, origins=cors_origins, has_keys=bool(api_keys))
    app.add_middleware(TracingMiddleware, metrics=metrics)
    served = Served(state, max_body_bytes, ping_interval_s, store, strict_tools)
    add_routes(Description(app), served, metrics)
    return app
