"""The HTTP application, put together from its visible parts: state, endpoints, layers."""

from __future__ import annotations

from dataclasses import dataclass
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
from server.api.http.errors import ErrorShape, install_error_handlers, openai_body
from server.api.http.origins import LOCAL, OriginMiddleware
from server.api.http.tracing import TracingMiddleware
from server.api.messages.errors import MESSAGES
from server.api.messages.routes import MessagesEndpoint
from server.api.messages.schemas import CountTokensBody, MessagesBody
from server.api.models.routes import ModelEndpoints
from server.api.responses.routes import ResponsesEndpoint
from server.api.responses.schemas import ResponsesRequest
from server.api.responses.stored.conversations import ConversationBody, ConversationsEndpoints, ItemsBody
from server.api.system.metrics import HttpMetrics
from server.api.system.routes import SystemEndpoints
from server.api.tokens.routes import DetokenizeBody, TokenEndpoints, TokenizeBody
from server.version import functiongate_version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pydantic import BaseModel
    from starlette.requests import Request
    from starlette.responses import Response

    from server.api.responses.stored.store import ResponseStore
    from server.api.state import ServingState

DEFAULT_MAX_BODY_BYTES = 4 << 20  # a hundred services' tools are some 100 KB; the rest is for prompts
DEFAULT_PING_INTERVAL_S = 10.0

# Codex asks again after a 503 and gives up after a 429.
RESPONSES_ERRORS = ErrorShape(openai_body, {429: 503})


@dataclass(frozen=True, slots=True)
class _Served:
    """What the endpoints of a dialect are made with."""

    state: ServingState
    max_body_bytes: int
    ping_interval_s: float
    store: ResponseStore | None
    strict_tools: bool


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
    install_error_handlers(app, {"/v1/messages": MESSAGES, "/v1/responses": RESPONSES_ERRORS})
    # The last one added is the outermost.
    app.add_middleware(ApiKeyMiddleware, keys=api_keys)
    app.add_middleware(OriginMiddleware, origins=cors_origins, has_keys=bool(api_keys))
    app.add_middleware(TracingMiddleware, metrics=metrics)
    served = _Served(state, max_body_bytes, ping_interval_s, store, strict_tools)
    _add_system(app, served, metrics)
    _add_tokens(app, served)
    _add_completions(app, served)
    _add_messages(app, served)
    _add_responses(app, served)
    return app


def _add_system(app: FastAPI, served: _Served, metrics: HttpMetrics) -> None:
    system = SystemEndpoints(served.state, metrics.registry)
    app.add_api_route("/", system.index, methods=["GET"])
    app.add_api_route("/", system.index, methods=["HEAD"])
    app.add_api_route("/health", system.health, methods=["GET"])
    app.add_api_route("/metrics", system.metrics, methods=["GET"])
    models = ModelEndpoints(served.state)
    app.add_api_route("/v1/models", models.list, methods=["GET"])
    app.add_api_route("/v1/models/{name:path}", models.one, methods=["GET"])
    app.add_api_route("/props", models.props, methods=["GET"])
    app.add_api_route("/version", models.version, methods=["GET"])
    app.add_api_route("/api/version", models.version, methods=["GET"])
    app.add_api_route("/api/tags", models.tags, methods=["GET"])


def _add_tokens(app: FastAPI, served: _Served) -> None:
    tokens = TokenEndpoints(served.state, served.max_body_bytes)
    _post(app, "/tokenize", tokens.tokenize, TokenizeBody)
    _post(app, "/detokenize", tokens.detokenize, DetokenizeBody)
    template = TemplateEndpoint(served.state, served.max_body_bytes)
    _post(app, "/apply-template", template.__call__, ChatCompletionRequest)
    embeddings = EmbeddingsEndpoint(served.state, served.max_body_bytes)
    _post(app, "/v1/embeddings", embeddings.__call__, EmbeddingRequest)


def _add_completions(app: FastAPI, served: _Served) -> None:
    chat = ChatEndpoint(served.state, served.max_body_bytes, served.ping_interval_s, served.strict_tools)
    _post(app, "/v1/chat/completions", chat.__call__, ChatCompletionRequest)
    text = CompletionsEndpoint(served.state, served.max_body_bytes, served.ping_interval_s)
    _post(app, "/v1/completions", text.__call__, CompletionRequestBody)


def _add_messages(app: FastAPI, served: _Served) -> None:
    messages = MessagesEndpoint(served.state, served.max_body_bytes, served.ping_interval_s, served.strict_tools)
    _post(app, "/v1/messages", messages.create, MessagesBody)
    _post(app, "/v1/messages/count_tokens", messages.count_tokens, CountTokensBody)


def _add_responses(app: FastAPI, served: _Served) -> None:
    responses = ResponsesEndpoint(
        served.state, served.max_body_bytes, served.ping_interval_s, served.store, served.strict_tools
    )
    _post(app, "/v1/responses", responses.__call__, ResponsesRequest)
    _post(app, "/v1/responses/input_tokens", responses.input_tokens, ResponsesRequest)
    stored = "/v1/responses/{response_id}"
    app.add_api_route(stored, responses.retrieve, methods=["GET"])
    app.add_api_route(stored, responses.delete, methods=["DELETE"])
    app.add_api_route(f"{stored}/cancel", responses.cancel, methods=["POST"])
    app.add_api_route(f"{stored}/input_items", responses.input_items, methods=["GET"])
    conversations = ConversationsEndpoints(served.store, served.max_body_bytes)
    _post(app, "/v1/conversations", conversations.create, ConversationBody)
    one = "/v1/conversations/{conversation_id}"
    app.add_api_route(one, conversations.retrieve, methods=["GET"])
    app.add_api_route(one, conversations.delete, methods=["DELETE"])
    app.add_api_route(f"{one}/items", conversations.items, methods=["GET"])
    _post(app, f"{one}/items", conversations.add, ItemsBody)


def _post(app: FastAPI, path: str, endpoint: Callable[[Request], Awaitable[Response]], shape: type[BaseModel]) -> None:
    # The body is read by hand, so FastAPI does not know it. The $id makes the schema's own $defs resolve in
    # place.
    schema = {"$id": f"urn:functiongate:{shape.__name__}", **shape.model_json_schema()}
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    app.add_api_route(path, endpoint, methods=["POST"], openapi_extra=body)
