"""The routes about the server itself: what it serves, whether it is well, what it measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.state import Phase

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from server.api.state import ServedModel, ServingState

ROUTES = {
    "POST /v1/chat/completions": "OpenAI's chat completions, streamed or not",
    "POST /v1/completions": "OpenAI's text completions, streamed or not",
    "POST /v1/embeddings": "OpenAI's embeddings, of models that give them",
    "POST /v1/responses": "OpenAI's responses, streamed or not",
    "POST /v1/responses/input_tokens": "how many tokens a response's prompt has",
    "GET /v1/responses/{response_id}": "a stored response",
    "DELETE /v1/responses/{response_id}": "a stored response is dropped",
    "GET /v1/responses/{response_id}/input_items": "what its request sent",
    "POST /v1/responses/{response_id}/cancel": "refused: nothing is answered in the background",
    "POST /v1/conversations": "a conversation begins",
    "GET /v1/conversations/{conversation_id}": "a stored conversation",
    "DELETE /v1/conversations/{conversation_id}": "a conversation is dropped with its responses",
    "GET /v1/conversations/{conversation_id}/items": "all that was said in it",
    "POST /v1/conversations/{conversation_id}/items": "items are added to it",
    "GET /v1/models": "the model and its names",
    "GET /health": "200 when ready, 503 while loading or draining, or after a failure",
    "GET /metrics": "Prometheus metrics",
    "GET /openapi.json": "a description for machines",
}


@dataclass(frozen=True, slots=True)
class SystemEndpoints:
    """Answers about the state."""

    state: ServingState
    registry: CollectorRegistry

    async def index(self) -> Response:
        """What there is."""
        return JSONResponse({"name": "FunctionGate", "routes": ROUTES})

    async def health(self) -> Response:
        """200 when ready, else 503 and why."""
        phase, failure = self.state.phase, self.state.failure
        reason = {} if failure is None else {"reason": failure.message}
        return JSONResponse({"status": phase.value, **reason}, 200 if phase is Phase.READY else 503)

    async def models(self) -> Response:
        """The list of models: the one that is served. Empty while it is loading."""
        model = self.state.model
        return JSONResponse({"object": "list", "data": [] if model is None else [self._describe(model)]})

    async def model(self, request: Request) -> Response:
        """One model by any of its names."""
        name = request.path_params["name"]
        return JSONResponse({**self._describe(self.state.require_named(name)), "id": name})

    async def metrics(self) -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    def _describe(self, model: ServedModel) -> dict[str, Any]:
        return {
            "id": model.names[0],
            "object": "model",
            "created": self.state.created,
            "owned_by": "functiongate",
            "aliases": list(model.names[1:]),
        }
