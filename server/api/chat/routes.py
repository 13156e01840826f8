"""POST /v1/chat/completions: a body becomes a `ChatRequest`, deltas become an answer, streamed or whole.

Both kinds of answer are made of the same deltas. The law: everything that can be refused is refused before
the first byte of an answer, and a client that leaves stops its generation.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.chat.answer import AnswerHead, ChunkWriter, completion
from server.api.chat.functions import of_functions, with_function_call, with_function_call_deltas
from server.api.chat.request import to_chat_request
from server.api.chat.schemas import read_request
from server.api.chat.tools import input_formats
from server.api.http.body import read_object
from server.api.http.connection import while_connected
from server.api.http.sse import ChunkEvents, EventStream
from server.api.request.ignored import IgnoredParameters
from server.api.request.terms import read_terms
from server.chat.answer.stream import fold
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.api.state import ServedModel, ServingState
    from server.chat.request import ChatAnswer, ChatDelta, ChatRequest


@dataclass(frozen=True, slots=True)
class ChatEndpoint:
    """Answers chat completion requests with the state's model."""

    state: ServingState
    max_body_bytes: int
    ping_interval_s: float

    async def __call__(self, request: Request) -> Response:
        """The answer to one request; raises what `server.api.http.errors` has answers for."""
        ignored = IgnoredParameters()
        wanted = read_request(await read_object(request, self.max_body_bytes), ignored)
        model = self.state.require_named(wanted.model)
        chat_request = to_chat_request(
            wanted,
            model.n_vocab,
            read_terms(request, timeout_s=wanted.timeout, cache_key=wanted.prompt_cache_key),
            ignored,
        )
        deltas = await _open(chat_request, model, is_obsolete=bool(wanted.functions))
        head = AnswerHead(
            wanted.model, int(time.time()), model.fingerprint, ignored.warnings, frozenset(input_formats(wanted.tools))
        )
        if wanted.stream:
            options = wanted.stream_options
            writer = ChunkWriter(head, include_usage=bool(options and options.include_usage))
            events = ChunkEvents(_obsolete(writer) if wanted.functions else writer.write)
            return EventStream(deltas, events, ping_interval_s=self.ping_interval_s)
        whole = completion(head, await while_connected(fold(deltas), deltas, request))
        return JSONResponse(with_function_call(whole) if wanted.functions else whole)


async def _open(request: ChatRequest, model: ServedModel, *, is_obsolete: bool) -> ChatAnswer:
    try:
        return await model.chat.open(request)
    except RequestError as error:
        raise of_functions(error) if is_obsolete else error from None


def _obsolete(writer: ChunkWriter) -> Callable[[ChatDelta], list[dict[str, Any]]]:
    return lambda delta: [with_function_call_deltas(chunk) for chunk in writer.write(delta)]
