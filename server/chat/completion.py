"""A prompt is continued: no messages, no template, no grammar.

The plain sibling of `server.chat.service`. Knows tokens and the engine; knows no HTTP and no pointer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from chat_templates import Prompt
from server.chat.prompt import tokenize_prompt
from server.chat.source import Source
from server.engine.async_engine import AsyncEngine
from server.engine.types import GenerationChunk, GenerationRequest, SamplingParams, ServiceTerms, TokenChoice
from server.errors import ContextLengthError, RequestError


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One prompt to continue: text, or token ids that are taken as they are.

    With a `suffix` what is generated stands between the prompt and it. `echo` puts the prompt's text in front of the
    answer. `n_others` is how many runners-up of each token are told with it, None tells no tokens; with `echo` the
    prompt's tokens are told too. `param` is the prompt's place in the client's request.
    """

    prompt: str | tuple[int, ...]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    suffix: str | None = None
    echo: bool = False
    param: str = "prompt"
    terms: ServiceTerms = field(default_factory=ServiceTerms)
    n_others: int | None = None


class Completion(Protocol):
    """What the API needs of a completion service."""

    async def open(self, request: CompletionRequest) -> Source[GenerationChunk]:
        """Admit a request and return its text in pieces; the last one has the finish reason and the usage.

        Everything that can be refused is refused here, before the first byte of an answer: raises
        `RequestError`, `ContextLengthError`, `OverloadedError`, `NotReadyError`.
        """
        ...


class CompletionService:
    """Continues prompts with one model. Implements `Completion`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open(self, request: CompletionRequest) -> CompletionStream:
        """Admit a request and return its text in pieces; see `Completion.open`."""
        # A prompt of megabytes takes long to tokenize: not on the loop.
        tokens = await asyncio.to_thread(self._tokens, request)
        generation = self._engine.submit(
            GenerationRequest(
                tokens,
                request.sampling,
                max_tokens=request.max_tokens,
                stop=request.stop,
                terms=request.terms,
                n_others=request.n_others,
                weighs_prompt=request.echo and request.n_others is not None,
            )
        )
        if not request.echo:
            return CompletionStream(generation)
        return CompletionStream(generation, self._text(request), is_weighed=request.n_others is not None)

    def _tokens(self, request: CompletionRequest) -> tuple[int, ...]:
        vocabulary, prompt = self._engine.vocabulary, request.prompt
        if isinstance(prompt, str):
            prompt = tuple(tokenize_prompt(vocabulary, Prompt(prompt), param=request.param))
        if not prompt:
            raise RequestError(f"Invalid {request.param}: it is empty; send at least one token.", param=request.param)
        n_vocab = len(vocabulary.pieces)
        if unknown := next((token for token in prompt if not 0 <= token < n_vocab), None):
            raise RequestError(
                f"Invalid {request.param}: {unknown} is not a token id; ids are 0 to {n_vocab - 1}.",
                param=request.param,
            )
        if request.suffix is not None:
            prompt = self._around(prompt, request.suffix)
        if len(prompt) + 1 > self._engine.n_ctx:
            raise ContextLengthError(len(prompt), self._engine.n_ctx, param=request.param, parts="the prompt")
        return prompt

    def _around(self, prompt: tuple[int, ...], suffix: str) -> tuple[int, ...]:
        """The tokens of a prompt after which its model writes what stands before the suffix."""
        infill = self._engine.vocabulary.infill
        if infill is None:
            raise RequestError(
                "suffix is not supported by this model: it has no tokens to mark the middle of a text.",
                param="suffix",
                code="unsupported_parameter",
            )
        after = tuple(self._engine.vocabulary.tokenize(suffix.encode("utf-8", "replace"), parse_special=False))
        before_prompt, before_suffix, before_middle = infill
        if before_middle is None:
            return (before_suffix, *after, before_prompt, *prompt)
        return (before_prompt, *prompt, before_suffix, *after, before_middle)

    def _text(self, request: CompletionRequest) -> str:
        if isinstance(request.prompt, str):
            return request.prompt
        pieces = self._engine.vocabulary.pieces
        return b"".join(pieces[token] for token in request.prompt).decode("utf-8", "replace")


class CompletionStream:
    """The pieces of one continuation, the prompt's text in front if there is one. `aclose` aborts the generation.

    Where the prompt `is_weighed` its text comes with its tokens: once the model has read it. A class and not an async
    generator: closing a generator that was never started runs none of its code.
    """

    def __init__(self, generation: Source[GenerationChunk], prompt: str = "", *, is_weighed: bool = False) -> None:
        self._generation = generation
        self._prompt = prompt
        self._is_weighed = is_weighed
        self._coming = deque([] if is_weighed or not prompt else [GenerationChunk(prompt)])

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> GenerationChunk:
        if self._coming:
            return self._coming.popleft()
        chunk = await anext(self._generation)
        if not self._is_weighed:
            return chunk
        choices = tuple(replace(choice, start=choice.start + len(self._prompt)) for choice in chunk.choices)
        self._coming.append(replace(chunk, choices=choices, prompt=()))
        if chunk.prompt:
            self._coming.appendleft(GenerationChunk(self._prompt, choices=_placed(chunk.prompt, self._prompt)))
        return self._coming.popleft()

    async def aclose(self) -> None:
        """Abort the generation if it is still running. May be called again."""
        await self._generation.aclose()


def _placed(tokens: Sequence[TokenChoice], text: str) -> tuple[TokenChoice, ...]:
    """A prompt's tokens at their places in its text, which has neither a token nor a space that a tokenizer adds."""
    n_added = len(b"".join(token.piece for token in tokens).decode("utf-8", "replace")) - len(text)
    return tuple(replace(token, start=max(0, token.start - n_added)) for token in tokens)
