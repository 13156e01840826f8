"""The HTTP application, put together from its visible parts: state, endpoints, layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from server.api.chat.routes import ChatEndpoint
from server.api.chat.schemas import ChatCompletionRequest
from server.api.chat.template import TemplateEndpoint
from server.api.completions.routes import CompletionsEndpoint
from server.api.completions.schemas import CompletionRequestBody
from server.api.embeddings.routes import EmbeddingsEndpoint
from server.api.embeddings.schemas import EmbeddingRequest
from server.api.http.auth import ApiKeyMiddleware
from server.api.http.errors import install_error_handlers
from server.api.http.origins import LOCAL, OriginMiddleware
from server.api.http.tracing import TracingMiddleware
from server.api.messages.errors import MESSAGES
from server.api.messages.routes import MessagesEndpoint
from server.api.messages.schemas import ConversationBody, MessagesBody
from server.api.models.routes import ModelEndpoints
from server.api.system.metrics import HttpMetrics
from server.api.system.routes import SystemEndpoints
from server.api.tokens.routes import DetokenizeBody, TokenEndpoints, TokenizeBody
from server.version import functiongate_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from server.api.state import ServingState

DEFAULT_MAX_BODY_BYTES = 4 << 20  # a hundred services' tools are some 100 KB; the rest is for prompts
DEFAULT_PING_INTERVAL_S = 10.0


def create_app(
    state: ServingState,
    *,
    api_keys: Sequence[str] = (),
    cors_origins: Sequence[str] = (LOCAL,),
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    ping_interval_s: float = DEFAULT_PING_INTERVAL_S,
) -> FastAPI:
    """The ASGI application that serves the state's model.

    Without `api_keys` everyone may ask, but for pages in browsers that are not of `cors_origins`; see
    `server.api.http.origins`.
    """
    app = FastAPI(title="FunctionGate", version=functiongate_version(), docs_url=None, redoc_url=None)
    metrics = HttpMetrics(state)
    install_error_handlers(app, {"/v1/messages": MESSAGES})
    # The last one added is the outermost.
    app.add_middleware(ApiKeyMiddleware, keys=api_keys)
    app.add_middleware(OriginMiddleware, origins=cors_origins, has_keys=bool(api_keys))
    app.add_middleware(TracingMiddleware, metrics=metrics)

    system = SystemEndpoints(state, metrics.registry)
    app.add_api_route("/", system.index, methods=["GET"])
    app.add_api_route("/", system.index, methods=["HEAD"])
    app.add_api_route("/health", system.health, methods=["GET"])
    app.add_api_route("/metrics", system.metrics, methods=["GET"])
    models = ModelEndpoints(state)
    app.add_api_route("/v1/models", models.list, methods=["GET"])
    app.add_api_route("/v1/models/{name:path}", models.one, methods=["GET"])
    app.add_api_route("/props", models.props, methods=["GET"])
    app.add_api_route("/version", models.version, methods=["GET"])
    app.add_api_route("/api/version", models.version, methods=["GET"])
    app.add_api_route("/api/tags", models.tags, methods=["GET"])
    tokens = TokenEndpoints(state, max_body_bytes)
    app.add_api_route("/tokenize", tokens.tokenize, methods=["POST"], openapi_extra=_body(TokenizeBody))
    app.add_api_route("/detokenize", tokens.detokenize, methods=["POST"], openapi_extra=_body(DetokenizeBody))
    template = TemplateEndpoint(state, max_body_bytes)
    app.add_api_route(
        "/apply-template", template.__call__, methods=["POST"], openapi_extra=_body(ChatCompletionRequest)
    )
    chat = ChatEndpoint(state, max_body_bytes, ping_interval_s)
    app.add_api_route(
        "/v1/chat/completions", chat.__call__, methods=["POST"], openapi_extra=_body(ChatCompletionRequest)
    )
    text = CompletionsEndpoint(state, max_body_bytes, ping_interval_s)
    app.add_api_route("/v1/completions", text.__call__, methods=["POST"], openapi_extra=_body(CompletionRequestBody))
    messages = MessagesEndpoint(state, max_body_bytes, ping_interval_s)
    app.add_api_route("/v1/messages", messages.create, methods=["POST"], openapi_extra=_body(MessagesBody))
    app.add_api_route(
        "/v1/messages/count_tokens", messages.count_tokens, methods=["POST"], openapi_extra=_body(ConversationBody)
    )
    embeddings = EmbeddingsEndpoint(state, max_body_bytes)
    app.add_api_route("/v1/embeddings", embeddings.__call__, methods=["POST"], openapi_extra=_body(EmbeddingRequest))
    return app


def _body(shape: type[BaseModel]) -> dict[str, object]:
    # The body is read by hand, so FastAPI does not know it. The $id makes the schema's own $defs resolve in
    # place.
    schema = {"$id": f"urn:functiongate:{shape.__name__}", **shape.model_json_schema()}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
