"""The HTTP application, put together from its visible parts: state, endpoints, layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from server.api.chat.routes import ChatEndpoint
from server.api.chat.schemas import ChatCompletionRequest
from server.api.completions.routes import CompletionsEndpoint
from server.api.completions.schemas import CompletionRequestBody
from server.api.embeddings.routes import EmbeddingsEndpoint
from server.api.embeddings.schemas import EmbeddingRequest
from server.api.http.auth import ApiKeyMiddleware
from server.api.http.errors import ErrorShape, install_error_handlers, openai_body
from server.api.http.tracing import TracingMiddleware
from server.api.responses.routes import ResponsesEndpoint
from server.api.responses.schemas import ResponsesRequest
from server.api.responses.stored.conversations import ConversationBody, ConversationsEndpoints, ItemsBody
from server.api.system.metrics import HttpMetrics
from server.api.system.routes import SystemEndpoints
from server.version import functiongate_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from server.api.responses.stored.store import ResponseStore
    from server.api.state import ServingState

DEFAULT_MAX_BODY_BYTES = 4 << 20  # a hundred services' tools are some 100 KB; the rest is for prompts
DEFAULT_PING_INTERVAL_S = 10.0

# Codex asks again after a 503 and gives up after a 429.
RESPONSES_ERRORS = ErrorShape(openai_body, {429: 503})


def create_app(
    state: ServingState,
    *,
    api_keys: Sequence[str] = (),
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    ping_interval_s: float = DEFAULT_PING_INTERVAL_S,
    store: ResponseStore | None = None,
    strict_tools: bool = False,
) -> FastAPI:
    """The ASGI application that serves the state's model. Without `api_keys` everyone may ask.

    Responses are kept in `store`, which stays the caller's to close. With `strict_tools` tools that a cloud runs are
    refused, not left out.
    """
    app = FastAPI(title="FunctionGate", version=functiongate_version(), docs_url=None, redoc_url=None)
    metrics = HttpMetrics(state)
    install_error_handlers(app, {"/v1/responses": RESPONSES_ERRORS})
    # The last one added is the outermost.
    app.add_middleware(ApiKeyMiddleware, keys=api_keys)
    app.add_middleware(TracingMiddleware, metrics=metrics)

    system = SystemEndpoints(state, metrics.registry)
    app.add_api_route("/", system.index, methods=["GET"])
    app.add_api_route("/health", system.health, methods=["GET"])
    app.add_api_route("/metrics", system.metrics, methods=["GET"])
    app.add_api_route("/v1/models", system.models, methods=["GET"])
    app.add_api_route("/v1/models/{name:path}", system.model, methods=["GET"])
    chat = ChatEndpoint(state, max_body_bytes, ping_interval_s, strict_tools)
    app.add_api_route(
        "/v1/chat/completions", chat.__call__, methods=["POST"], openapi_extra=_body(ChatCompletionRequest)
    )
    text = CompletionsEndpoint(state, max_body_bytes, ping_interval_s)
    app.add_api_route("/v1/completions", text.__call__, methods=["POST"], openapi_extra=_body(CompletionRequestBody))
    embeddings = EmbeddingsEndpoint(state, max_body_bytes)
    app.add_api_route("/v1/embeddings", embeddings.__call__, methods=["POST"], openapi_extra=_body(EmbeddingRequest))
    responses = ResponsesEndpoint(state, max_body_bytes, ping_interval_s, store, strict_tools)
    shape = _body(ResponsesRequest)
    app.add_api_route("/v1/responses", responses.__call__, methods=["POST"], openapi_extra=shape)
    app.add_api_route("/v1/responses/input_tokens", responses.input_tokens, methods=["POST"], openapi_extra=shape)
    stored = "/v1/responses/{response_id}"
    app.add_api_route(stored, responses.retrieve, methods=["GET"])
    app.add_api_route(stored, responses.delete, methods=["DELETE"])
    app.add_api_route(f"{stored}/cancel", responses.cancel, methods=["POST"])
    app.add_api_route(f"{stored}/input_items", responses.input_items, methods=["GET"])
    conversations = ConversationsEndpoints(store, max_body_bytes)
    shape = _body(ConversationBody)
    app.add_api_route("/v1/conversations", conversations.create, methods=["POST"], openapi_extra=shape)
    one = "/v1/conversations/{conversation_id}"
    app.add_api_route(one, conversations.retrieve, methods=["GET"])
    app.add_api_route(one, conversations.delete, methods=["DELETE"])
    app.add_api_route(f"{one}/items", conversations.items, methods=["GET"])
    app.add_api_route(f"{one}/items", conversations.add, methods=["POST"], openapi_extra=_body(ItemsBody))
    return app


def _body(shape: type[BaseModel]) -> dict[str, object]:
    # The body is read by hand, so FastAPI does not know it. The $id makes the schema's own $defs resolve in
    # place.
    schema = {"$id": f"urn:functiongate:{shape.__name__}", **shape.model_json_schema()}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
