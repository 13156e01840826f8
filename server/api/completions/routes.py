"""POST /v1/completions: prompts are continued, each `n` times, all at once in the engine's batches.

The same law as for chat: everything that can be refused is refused before the first byte of an answer, and a client
that leaves stops its generations.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request  # at run time: FastAPI reads the annotations
from starlette.responses import JSONResponse, Response

from server.api.answer.head import AnswerHead
from server.api.answer.merge import numbered
from server.api.completions.schemas import read_completion_request
from server.api.completions.text_answer import TextChunkWriter, text_completion
from server.api.http.body import read_object
from server.api.http.connection import while_connected
from server.api.http.sse import ChunkEvents, EventStream
from server.api.request.sampling import read_sampling, settled
from server.api.request.terms import read_terms
from server.chat.completion import CompletionRequest
from server.errors import RequestError

if TYPE_CHECKING:
    from server.api.completions.schemas import CompletionRequestBody
    from server.api.state import ServedModel, ServingState
    from server.chat.source import Source
    from server.engine.types import GenerationChunk, ServiceTerms

DEFAULT_MAX_TOKENS = 16  # OpenAI's
MAX_ANSWERS = 32  # to one request: half of the default queue


@dataclass(frozen=True, slots=True)
class CompletionsEndpoint:
    """Answers text completion requests with the state's model."""

    state: ServingState
    max_body_bytes: int
    ping_interval_s: float

    async def __call__(self, request: Request) -> Response:
        """The answer to one request; raises what `server.api.http.errors` has answers for."""
        wanted = read_completion_request(await read_object(request, self.max_body_bytes))
        model = self.state.require_named(wanted.model)
        wanted = settled(wanted, model.temperature, decides=False)
        requests = to_completion_requests(wanted, model.n_vocab, read_terms(request, timeout_s=wanted.timeout))
        pieces = await _open(requests, model)
        head = AnswerHead(
            wanted.model or model.names[0], int(time.time()), model.fingerprint, id=f"cmpl-{uuid.uuid4().hex}"
        )
        n = wanted.n or 1
        if wanted.stream:
            include_usage = bool(wanted.stream_options and wanted.stream_options.include_usage)
            writer = TextChunkWriter(
                head, n=n, n_answers=len(requests), include_usage=include_usage, n_top=wanted.logprobs
            )
            return EventStream(pieces, ChunkEvents(writer.write), ping_interval_s=self.ping_interval_s)
        return JSONResponse(
            await while_connected(text_completion(head, pieces, n=n, n_top=wanted.logprobs), pieces, request)
        )


def to_completion_requests(wanted: CompletionRequestBody, n_vocab: int, terms: ServiceTerms) -> list[CompletionRequest]:
    """One request for every answer: `n` for each prompt. Raises `RequestError` for prompts that cannot be continued."""
    prompts = _prompts(wanted.prompt)
    n = wanted.n or 1
    n_answers = len(prompts) * n
    if not 1 <= n_answers <= MAX_ANSWERS:
        raise RequestError(
            f"{len(prompts)} prompts with n {n} ask for {n_answers} answers; one request has 1 to {MAX_ANSWERS}.",
            param="prompt",
            code="invalid_value",
        )
    sampling = read_sampling(wanted, n_vocab)
    request = CompletionRequest(
        prompt="",
        max_tokens=wanted.max_tokens or DEFAULT_MAX_TOKENS,
        stop=tuple(wanted.stop or ()),
        suffix=wanted.suffix or None,
        echo=bool(wanted.echo),
        terms=terms,
        n_others=wanted.logprobs,
    )
    # The same seed n times would be the same answer n times.
    seeds = [None if sampling.seed is None else (sampling.seed + k) % 2**64 for k in range(n)]
    return [
        dataclasses.replace(request, prompt=prompt, param=place, sampling=dataclasses.replace(sampling, seed=seed))
        for place, prompt in prompts.items()
        for seed in seeds
    ]


def _prompts(prompt: str | list[str] | list[int] | list[list[int]]) -> dict[str, str | tuple[int, ...]]:
    """The prompts by their places in the body."""
    if isinstance(prompt, str):
        return {"prompt": prompt}
    ids = tuple(part for part in prompt if isinstance(part, int))
    if ids:
        return {"prompt": ids}
    several = [part if isinstance(part, str) else tuple(part) for part in prompt if not isinstance(part, int)]
    return {f"prompt[{i}]": part for i, part in enumerate(several)}


async def _open(requests: list[CompletionRequest], model: ServedModel) -> Source[tuple[int, GenerationChunk]]:
    """All of them, or none."""
    opened = []
    async with AsyncExitStack() as unless_all:
        for request in requests:
            stream = await model.completion.open(request)
            unless_all.push_async_callback(stream.aclose)
            opened.append(stream)
        unless_all.pop_all()
    return numbered(opened)
