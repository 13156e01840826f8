"""POST /v1/messages and its tokens counted: a body becomes a `ChatRequest`, deltas become a message.

The same law as for chat: everything that can be refused is refused before the first byte of an answer, and a client
that leaves stops its generation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.http.body import read_object
from server.api.http.connection import while_connected
from server.api.http.errors import failure_of
from server.api.http.sse import EventStream, event
from server.api.messages.answer import MessageHead, MessageWriter, message
from server.api.messages.errors import error_body
from server.api.messages.request import to_chat_request
from server.api.messages.schemas import CountTokensBody, MessagesBody, output_format, read_body
from server.api.request.ignored import IgnoredParameters
from server.api.request.sampling import settled
from server.api.request.terms import read_terms
from server.errors import RequestError

if TYPE_CHECKING:
    from server.api.messages.answer import Event
    from server.api.messages.places import Places
    from server.api.state import ServedModel, ServingState
    from server.chat.request import ChatAnswer, ChatDelta, ChatRequest


@dataclass(frozen=True, slots=True)
class MessagesEndpoint:
    """Answers messages with the state's model, and counts what they would take."""

    state: ServingState
    max_body_bytes: int
    ping_interval_s: float
    strict_tools: bool = False

    async def create(self, request: Request) -> Response:
        """The answer to one request; raises what `server.api.http.errors` has answers for."""
        wanted, model, chat_request, places, ignored = await self._read(request, MessagesBody)
        try:
            deltas = await model.chat.open(chat_request)
        except RequestError as error:
            raise places.refusal(error) from error
        head = MessageHead(
            wanted.model,
            wanted.max_tokens or 0,
            places,
            ignored.warnings,
            shows_thoughts=wanted.thinking is None or wanted.thinking.display != "omitted",
        )
        writer = MessageWriter(head, deltas.n_prompt)
        if wanted.stream:
            events = MessageEvents(writer, request.scope.get("state", {}).get("request_id"))
            return EventStream(deltas, events, ping_interval_s=self.ping_interval_s)
        return JSONResponse(message(await while_connected(_all(writer, deltas), deltas, request)))

    async def count_tokens(self, request: Request) -> Response:
        """How many tokens the prompt of a request has."""
        _, model, chat_request, places, _ = await self._read(request, CountTokensBody)
        try:
            prompt = await model.chat.prompt(chat_request)
        except RequestError as error:
            raise places.refusal(error) from error
        return JSONResponse({"input_tokens": len(prompt.tokens)})

    async def _read(
        self, request: Request, shape: type[CountTokensBody]
    ) -> tuple[CountTokensBody, ServedModel, ChatRequest, Places, IgnoredParameters]:
        ignored = IgnoredParameters(refuses_hosted=self.strict_tools)
        wanted = read_body(shape, await read_object(request, self.max_body_bytes), ignored)
        model = self.state.require_named(wanted.model)
        decides = bool(wanted.tools) or output_format(wanted) is not None
        wanted = settled(wanted, model.temperature, decides=decides)
        terms = read_terms(request, timeout_s=wanted.timeout, cache_key=wanted.prompt_cache_key)
        chat_request, places = to_chat_request(wanted, terms, ignored)
        return wanted, model, chat_request, places, ignored


class MessageEvents:
    """A message as server-sent events, each with its name. Implements `EventWriter`.

    Silence is a `ping`, an event with data: some clients give up a stream that sends comments alone.
    """

    def __init__(self, writer: MessageWriter, request_id: str | None) -> None:
        self._writer = writer
        self._request_id = request_id

    def begin(self) -> bytes:
        """The message's head."""
        return _bytes(self._writer.start())

    def write(self, delta: ChatDelta) -> bytes:
        """The events for one more delta."""
        return b"".join(_bytes(each) for each in self._writer.write(delta))

    def silence(self) -> bytes:
        """A ping."""
        return _bytes({"type": "ping"})

    def fail(self, error: Exception) -> bytes:
        """The error's object."""
        return _bytes(error_body(replace(failure_of(error), request_id=self._request_id)))

    def end(self) -> bytes:
        """The mark after the last event."""
        return _bytes(self._writer.stop())


def _bytes(each: Event) -> bytes:
    return event(each, each["type"])


async def _all(writer: MessageWriter, deltas: ChatAnswer) -> list[Event]:
    """All events of an answer. Raises what the answer raises."""
    events = [writer.start()]
    async for delta in deltas:
        events += writer.write(delta)
    return events
