"""POST /v1/chat/completions: a body becomes a `ChatRequest`, deltas become an answer, streamed or whole.

Both kinds of answer are made of the same deltas. The law: everything that can be refused is refused before
the first byte of an answer, and a client that leaves stops its generation.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import ClientDisconnect, Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.body import read_object
from server.api.completion import AnswerHead, ChunkWriter, completion
from server.api.messages import read_messages
from server.api.schemas import ChatCompletionRequest, one_of, read_request
from server.api.sse import EventStream, disconnected
from server.api.tools import read_tool_choice, read_tools, strict_names
from server.chat import ChatRequest, fold
from server.engine.types import SamplingParams
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from server.api.state import ServingState
    from server.chat import ChatDelta, ChatResult


@dataclass(frozen=True, slots=True)
class ChatEndpoint:
    """Answers chat completion requests with the state's model."""

    state: ServingState
    max_body_bytes: int
    ping_interval_s: float

    async def __call__(self, request: Request) -> Response:
        """The answer to one request; raises what `server.api.errors` has answers for."""
        wanted = read_request(await read_object(request, self.max_body_bytes))
        model = self.state.require_named(wanted.model)
        chat_request = to_chat_request(wanted, model.n_vocab)
        deltas = cast("AsyncGenerator[ChatDelta]", await model.chat.open(chat_request))
        head = AnswerHead(model=wanted.model, created=int(time.time()), fingerprint=model.fingerprint)
        if wanted.stream:
            options = wanted.stream_options
            writer = ChunkWriter(head, include_usage=bool(options and options.include_usage))
            return EventStream(deltas, writer.write, ping_interval_s=self.ping_interval_s)
        return JSONResponse(completion(head, await _fold_while_connected(deltas, request)))


def to_chat_request(wanted: ChatCompletionRequest, n_vocab: int) -> ChatRequest:
    """What the chat service is asked for. Raises `RequestError` for wrong messages, tools and token ids."""
    tools = read_tools(wanted.tools)
    return ChatRequest(
        messages=read_messages(wanted.messages),
        tools=tools,
        tool_choice=read_tool_choice(wanted.tool_choice, tools),
        parallel_tool_calls=wanted.parallel_tool_calls is not False,
        response_format=_response_format(wanted),
        sampling=_sampling(wanted, n_vocab),
        max_tokens=one_of(wanted, "max_completion_tokens", "max_tokens"),
        stop=tuple(wanted.stop or ()),
        strict_tools=strict_names(wanted.tools),
    )


def _response_format(wanted: ChatCompletionRequest) -> dict[str, Any] | None:
    form = wanted.response_format
    if form is None:
        return None
    if form.json_schema is None:
        return {"type": form.type}
    schema = form.json_schema
    return {
        "type": form.type,
        "json_schema": {"name": schema.name, "schema": schema.schema_, "strict": schema.strict is True},
    }


def _sampling(wanted: ChatCompletionRequest, n_vocab: int) -> SamplingParams:
    repetition = one_of(wanted, "repetition_penalty", "repeat_penalty")
    given = {
        "temperature": wanted.temperature,
        "top_k": wanted.top_k,
        "top_p": wanted.top_p,
        "min_p": wanted.min_p,
        "repetition_penalty": repetition,
        "presence_penalty": wanted.presence_penalty,
        "frequency_penalty": wanted.frequency_penalty,
        # Generators take unsigned seeds; OpenAI's are signed. Distinct seeds stay distinct.
        "seed": None if wanted.seed is None else wanted.seed % 2**64,
        "logit_bias": _logit_bias(wanted.logit_bias or {}, n_vocab),
    }
    return SamplingParams(**{name: value for name, value in given.items() if value is not None})


def _logit_bias(bias: dict[str, float], n_vocab: int) -> dict[int, float]:
    read = {}
    for text, value in bias.items():
        is_id = text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) < n_vocab
        if not is_id:
            raise RequestError(
                f"Invalid logit_bias: {text!r} is not a token id; ids are 0 to {n_vocab - 1}.",
                param="logit_bias",
                code="invalid_value",
            )
        read[int(text)] = value
    return read


async def _fold_while_connected(deltas: AsyncGenerator[ChatDelta], request: Request) -> ChatResult:
    """The whole answer. Raises `ClientDisconnect` as soon as the client leaves, the source closed."""
    async with aclosing(deltas):
        answer = asyncio.create_task(fold(deltas))
        left = asyncio.create_task(disconnected(request.receive))
        try:
            await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ClientDisconnect
            return answer.result()
        finally:
            left.cancel()
            answer.cancel()
            await asyncio.gather(answer, left, return_exceptions=True)
