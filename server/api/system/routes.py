"""The routes about the server itself: what it serves, whether it is well, what it measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from server.api.state import Phase

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from server.api.state import ServingState

ROUTES = {
    "POST /v1/chat/completions": "OpenAI's chat completions, streamed or not",
    "POST /v1/chat/completions/input_tokens": "how many tokens a chat's prompt has",
    "POST /v1/completions": "OpenAI's text completions, streamed or not",
    "POST /v1/messages": "Anthropic's messages, streamed or not",
    "POST /v1/messages/count_tokens": "how many tokens a message's prompt has",
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
    "GET /props": "the model's properties, as llama-server tells them",
    "POST /tokenize": "the tokens of a text",
    "POST /detokenize": "the text of tokens",
    "POST /apply-template": "the prompt of a chat",
    "GET /version": "the server's version",
    "GET /api/version": "the server's version, where Ollama's clients ask",
    "GET /api/tags": "the model, where Ollama's clients ask",
    "HEAD /": "200: the server is there",
    "POST /chat/completions": "the same, where llama-server's clients ask",
    "POST /chat/completions/input_tokens": "the same, where llama-server's clients ask",
    "POST /responses": "the same, where llama-server's clients ask",
    "POST /responses/input_tokens": "the same, where llama-server's clients ask",
    "GET /models": "the same, where llama-server's clients ask",
    "GET /v1/health": "the same, where llama-server's clients ask",
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

    async def metrics(self) -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)
