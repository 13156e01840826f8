"""POST /apply-template and /v1/chat/completions/input_tokens: what a chat completion would give the model.

Knows the body of a chat completion, whose fields it takes; `model` may be left out. Both are llama-server's. The law:
the model is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.chat.request import to_chat_request
from server.api.chat.schemas import read_request
from server.api.http.body import read_object
from server.api.request.terms import read_terms

if TYPE_CHECKING:
    from server.api.state import ServingState
    from server.chat.request import ChatPrompt


@dataclass(frozen=True, slots=True)
class TemplateEndpoint:
    """Renders prompts with the state's model."""

    state: ServingState
    max_body_bytes: int

    async def text(self, request: Request) -> Response:
        """The prompt of a chat completion, with the markers in it."""
        return JSONResponse({"prompt": (await self._prompt(request)).text})

    async def input_tokens(self, request: Request) -> Response:
        """How many tokens it has."""
        n_tokens = len((await self._prompt(request)).tokens)
        return JSONResponse({"object": "response.input_tokens", "input_tokens": n_tokens})

    async def _prompt(self, request: Request) -> ChatPrompt:
        body = await read_object(request, self.max_body_bytes)
        wanted = read_request({"model": self.state.require_ready().names[0], **body})
        model = self.state.require_named(wanted.model)
        return await model.chat.prompt(to_chat_request(wanted, model.n_vocab, read_terms(request)))
