"""POST /v1/responses and the routes of what is stored: a body becomes a `ChatRequest`, deltas become a response.

Whole or streamed, a response is made of the same events. The law: everything that can be refused is refused before
the first byte of an answer, and a client that leaves stops its generation.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.http.body import read_object
from server.api.http.connection import while_connected
from server.api.http.sse import EventStream
from server.api.request.ignored import IgnoredParameters
from server.api.request.sampling import settled
from server.api.request.terms import owner_of, read_terms
from server.api.responses.build import ResponseBuilder
from server.api.responses.events import ResponseEvents, ResponseWriter, whole
from server.api.responses.head import ResponseHead
from server.api.responses.request import to_chat_request
from server.api.responses.schemas import ResponsesRequest, read_request
from server.api.responses.stored.history import Given, History, input_of
from server.api.responses.stored.listing import listing, read_paging
from server.api.responses.stored.store import ResponseStore, Turn
from server.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from server.api.responses.request import Asked
    from server.api.state import ServedModel, ServingState


@dataclass(frozen=True, slots=True)
class ResponsesEndpoint:
    """Answers requests for responses with the state's model. Without a `store` nothing outlives its answer."""

    state: ServingState
    max_body_bytes: int
    ping_interval_s: float
    store: ResponseStore | None = None
    strict_tools: bool = False

    async def __call__(self, request: Request) -> Response:
        """The answer to one request; raises what `server.api.http.errors` has answers for."""
        ignored = IgnoredParameters(refuses_hosted=self.strict_tools)
        wanted = read_request(await read_object(request, self.max_body_bytes), ignored)
        model = self.state.require_named(wanted.model)
        wanted = wanted.model_copy(update={"model": wanted.model or model.names[0]})
        wanted = settled(wanted, model.temperature, decides=_decides(wanted))
        is_stored = self._is_stored(wanted)
        history = History(self.store, owner_of(request))
        given = await history.given(wanted)
        asked = _asked(request, wanted, given, model, ignored)
        try:
            deltas = await model.chat.open(asked.chat)
        except RequestError as error:
            raise asked.places.refusal(error) from None
        head = ResponseHead(
            wanted, asked.tools, asked.places, int(time.time()), model.fingerprint, is_stored, ignored.warnings
        )
        builder = ResponseBuilder(head, time.time)
        events = ResponseEvents(deltas, builder, self._keeper(history, wanted, given) if is_stored else None)
        if wanted.stream:
            return EventStream(events, ResponseWriter(builder), ping_interval_s=self.ping_interval_s)
        return JSONResponse(await while_connected(whole(events, builder), events, request))

    async def input_tokens(self, request: Request) -> Response:
        """POST /v1/responses/input_tokens: how many tokens a body's prompt has. The model is not asked."""
        ignored = IgnoredParameters(refuses_hosted=self.strict_tools)
        body = await read_object(request, self.max_body_bytes)
        any_name = self.state.require_ready().names[0]
        wanted = read_request({**body, "model": body.get("model") or any_name}, ignored)
        model = self.state.require_named(wanted.model)
        given = await History(self.store, owner_of(request)).given(wanted)
        asked = _asked(request, wanted, given, model, ignored)
        try:
            prompt = await model.chat.prompt(asked.chat)
        except RequestError as error:
            raise asked.places.refusal(error) from None
        return JSONResponse({"object": "response.input_tokens", "input_tokens": len(prompt.tokens)})

    async def retrieve(self, request: Request) -> Response:
        """GET /v1/responses/{id}: the response as it ended."""
        if request.query_params.get("stream", "false").lower() not in ("false", "0"):
            raise RequestError(
                "stream is not supported here; a stored response is told whole.",
                param="stream",
                code="unsupported_parameter",
            )
        return JSONResponse((await self._stored(request)).response)

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/responses/{id}: it is not stored any more, and nothing goes on from it."""
        turn = await self._stored(request)
        assert self.store is not None, "a turn was found in it"
        await asyncio.to_thread(self.store.delete, owner_of(request), turn.id)
        return JSONResponse({"id": turn.id, "object": "response", "deleted": True})

    async def cancel(self, request: Request) -> Response:
        """POST /v1/responses/{id}/cancel: always refused, since nothing is answered in the background."""
        turn = await self._stored(request)
        raise RequestError(
            f"The response {turn.id!r} has ended. One that runs is cancelled by closing its connection.",
            param="response_id",
            code="invalid_value",
        )

    async def input_items(self, request: Request) -> Response:
        """GET /v1/responses/{id}/input_items: what the request itself sent, without what came before it."""
        paging = read_paging(request.query_params)
        return JSONResponse(listing(input_of(await self._stored(request)), paging))

    def _is_stored(self, wanted: ResponsesRequest) -> bool:
        """Whether the response will be kept. Raises `RequestError` if it should be and cannot."""
        if self.store is None and wanted.store:
            raise RequestError(
                "store is not supported here: the server was started with --store 0. Send store: false.",
                param="store",
                code="unsupported_parameter",
            )
        if wanted.store is False and wanted.conversation is not None:
            raise RequestError(
                "A conversation is stored: leave out store, or send the whole conversation as input.",
                param="store",
                code="invalid_value",
            )
        return self.store is not None and wanted.store is not False

    def _keeper(
        self, history: History, wanted: ResponsesRequest, given: Given
    ) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
        store = self.store
        assert store is not None, "asked for a response that is stored"

        async def keep(response: Mapping[str, Any]) -> None:
            turn = Turn(response["id"], given.own, response, wanted.previous_response_id, wanted.conversation_id)
            await asyncio.to_thread(store.add, history.owner, turn)

        return keep

    async def _stored(self, request: Request) -> Turn:
        """The turn that the path names. Raises `NotFoundError`."""
        response_id = request.path_params["response_id"]
        turn = None
        if self.store is not None:
            turn = await asyncio.to_thread(self.store.get, owner_of(request), response_id)
        if turn is None or turn.response is None:
            raise NotFoundError(
                f"There is no stored response {response_id!r}.", param="response_id", code="response_not_found"
            )
        return turn


def _decides(wanted: ResponsesRequest) -> bool:
    """Whether the answer may be a call, or JSON of a shape."""
    form = wanted.text.format if wanted.text else None
    return bool(wanted.tools) or (form is not None and form.type != "text")


def _asked(
    request: Request, wanted: ResponsesRequest, given: Given, model: ServedModel, ignored: IgnoredParameters
) -> Asked:
    terms = read_terms(request, timeout_s=wanted.timeout, cache_key=wanted.prompt_cache_key)
    return to_chat_request(wanted, given.placed, model.n_vocab, terms, ignored)
