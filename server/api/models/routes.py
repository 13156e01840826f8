"""GET /v1/models and what other servers' clients ask in its place: /props, /api/tags, versions.

Which shape is wanted is told by the path, or by a header that one kind of client alone sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.models.shapes import anthropic_model, listed_model, ollama_model, openai_model, props
from server.api.request.fields import invalid
from server.version import functiongate_version

if TYPE_CHECKING:
    from server.api.state import ServedModel, ServingState

# Its clients send it with every request.
ANTHROPIC = "anthropic-version"
MAX_LIMIT = 1000  # Anthropic's


@dataclass(frozen=True, slots=True)
class ModelEndpoints:
    """Answers about the state's model."""

    state: ServingState

    async def list(self, request: Request) -> Response:
        """The list of models: the one that is served. Empty while it is loading."""
        model, created = self.state.model, self.state.created
        if ANTHROPIC in request.headers:
            return JSONResponse(self._page(request))
        data = [] if model is None else [openai_model(model, created)]
        models = [] if model is None else [listed_model(model, created)]
        return JSONResponse({"object": "list", "data": data, "models": models})

    async def one(self, request: Request) -> Response:
        """One model by any of its names."""
        name = request.path_params["name"]
        model = self.state.require_named(name)
        if ANTHROPIC in request.headers:
            return JSONResponse(anthropic_model(model, name, self.state.created))
        return JSONResponse({**openai_model(model, self.state.created), "id": name})

    async def props(self) -> Response:
        """llama-server's properties. Raises `NotReadyError` while the model is loading."""
        return JSONResponse(props(self.state.require_ready(), functiongate_version()))

    async def tags(self) -> Response:
        """Ollama's list of models."""
        model = self.state.model
        return JSONResponse({"models": [] if model is None else [ollama_model(model, self.state.created)]})

    async def version(self) -> Response:
        """This server's version, where vLLM's and Ollama's clients ask for one."""
        return JSONResponse({"version": functiongate_version()})

    def _page(self, request: Request) -> dict[str, object]:
        """Anthropic's page of models: its first, unless the client has seen it, or is beyond it."""
        limit = request.query_params.get("limit", "20")
        if not (limit.isascii() and limit.isdecimal() and len(limit) < 5 and 1 <= int(limit) <= MAX_LIMIT):
            raise invalid("limit", f"{limit!r} is not a number from 1 to {MAX_LIMIT}")
        model = self.state.model
        names = [] if model is None or self._is_passed(request, model) else [model.names[0]]
        data = [anthropic_model(model, name, self.state.created) for name in names if model is not None]
        ends = {"first_id": names[0], "last_id": names[0]} if names else {"first_id": None, "last_id": None}
        return {"data": data, "has_more": False, **ends}

    @staticmethod
    def _is_passed(request: Request, model: ServedModel) -> bool:
        known = (request.query_params.get("after_id"), request.query_params.get("before_id"))
        return any(name is not None and name in model.names for name in known)
