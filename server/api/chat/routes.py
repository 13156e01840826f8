"""POST /v1/chat/completions: a body becomes a `ChatRequest`, deltas become an answer, streamed or whole.

Both kinds of answer are made of the same deltas. The law: everything that can be refused is refused before
the first byte of an answer, and a client that leaves stops its generation.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.answer.head import AnswerHead
from server.api.answer.merge import numbered
from server.api.chat.answer import ChunkWriter, completion
from server.api.chat.functions import of_functions, with_function_call, with_function_call_deltas
from server.api.chat.request import to_chat_request
from server.api.chat.schemas import decides, read_request
from server.api.chat.tools import input_formats
from server.api.http.body import read_object
from server.api.http.connection import while_connected
from server.api.http.sse import ChunkEvents, EventStream
from server.api.request.ignored import IgnoredParameters
from server.api.request.sampling import settled
from server.api.request.terms import read_terms
from server.chat.answer.stream import fold
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from server.api.state import ServedModel, ServingState
    from server.chat.request import ChatAnswer, ChatDelta, ChatRequest, ChatResult
    from server.chat.source import Source


@dataclass(frozen=True, slots=True)
class ChatEndpoint:
    """Answers chat completion requests with the state's model."""

    state: ServingState
    max_body_bytes: int
    ping_interval_s: float
    strict_tools: bool = False

    async def __call__(self, request: Request) -> Response:
        """The answer to one request; raises what `server.api.http.errors` has answers for."""
        ignored = IgnoredParameters(refuses_hosted=self.strict_tools)
        wanted = read_request(await read_object(request, self.max_body_bytes), ignored)
        model = self.state.require_named(wanted.model)
        wanted = settled(wanted, model.temperature, decides=decides(wanted))
        chat_request = to_chat_request(
            wanted,
            model.n_vocab,
            read_terms(request, timeout_s=wanted.timeout, cache_key=wanted.prompt_cache_key),
            ignored,
        )
        deltas = await _open(chat_request, wanted.n or 1, model, is_obsolete=bool(wanted.functions))
        head = AnswerHead(
            wanted.model or model.names[0],
            int(time.time()),
            model.fingerprint,
            ignored.warnings,
            frozenset(input_formats(wanted.tools)),
        )
        n_top = (wanted.top_logprobs or 0) if wanted.logprobs else None
        if wanted.stream:
            options = wanted.stream_options
            include_usage = bool(options and options.include_usage)
            writer = ChunkWriter(head, include_usage=include_usage, n=wanted.n or 1, n_top=n_top)
            events = ChunkEvents(_obsolete(writer) if wanted.functions else writer.write)
            return EventStream(deltas, events, ping_interval_s=self.ping_interval_s)
        whole = completion(head, await while_connected(_fold(deltas), deltas, request), n_top=n_top)
        return JSONResponse(with_function_call(whole) if wanted.functions else whole)


async def _open(
    request: ChatRequest, n: int, model: ServedModel, *, is_obsolete: bool
) -> Source[tuple[int, ChatDelta]]:
    """`n` answers to one request: all of them are admitted, or none."""
    sampling = request.sampling
    opened: list[ChatAnswer] = []
    async with AsyncExitStack() as unless_all:
        for k in range(n):
            # The same seed n times would be the same answer n times.
            seed = None if sampling.seed is None else (sampling.seed + k) % 2**64
            each = replace(request, sampling=replace(sampling, seed=seed))
            try:
                answer = await model.chat.open(each)
            except RequestError as error:
                raise of_functions(error) if is_obsolete else error from None
            unless_all.push_async_callback(answer.aclose)
            opened.append(answer)
        unless_all.pop_all()
    return numbered(opened)


async def _fold(pieces: Source[tuple[int, ChatDelta]]) -> list[ChatResult]:
    """The whole answers, in order. Raises what any of them raises."""
    deltas: dict[int, list[ChatDelta]] = {}
    async for i, delta in pieces:
        deltas.setdefault(i, []).append(delta)
    return [await fold(_each(deltas[i])) for i in sorted(deltas)]


async def _each(deltas: Sequence[ChatDelta]) -> AsyncIterator[ChatDelta]:
    for delta in deltas:
        yield delta


def _obsolete(writer: ChunkWriter) -> Callable[[tuple[int, ChatDelta]], list[dict[str, Any]]]:
    return lambda piece: [with_function_call_deltas(chunk) for chunk in writer.write(piece)]
