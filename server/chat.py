"""A chat request becomes a prompt and a grammar; generated text becomes the deltas of an answer.

The one file that sees both worlds: messages and families on one side, tokens and the engine on the other.
Knows no HTTP and no pointer. `fold` makes the whole answer from the same deltas that are streamed: one path.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from chat_templates import (
    ContentDelta,
    Event,
    Family,
    OutputParser,
    ReasoningDelta,
    TemplateFileError,
    TemplateRequestError,
    ToolCallArguments,
    ToolCallStart,
)
from server.engine.async_engine import AsyncEngine
from server.engine.constraint import Constraint, GrammarError
from server.engine.generation import Generation
from server.engine.types import FinishReason, GenerationChunk, GenerationRequest, GenerationUsage, SamplingParams
from server.errors import RequestError
from server.prompt import tokenize_prompt
from server.schema_fault import locate_fault

ChatFinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat turn to answer, already validated in form. JSON values as the client sent them (OpenAI's shapes).

    `tool_choice` is "none", "auto", "required" or `{"type": "function", "function": {"name": …}}`. `allowed_tools`
    are the names that may be called, None for all; the model is shown every tool whatever they are.
    `response_format` is None, `{"type": "text"}`, `{"type": "json_object"}` or
    `{"type": "json_schema", "json_schema": {"name": …, "schema": …}}`.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] = "auto"
    parallel_tool_calls: bool = True
    response_format: Mapping[str, Any] | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    allowed_tools: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call. `id` and `name` come once, in the call's first delta, with empty `arguments`."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of an answer: exactly one of content, reasoning and tool_call, or the end (finish_reason and usage)."""

    content: str | None = None
    reasoning: str | None = None
    tool_call: ToolCallDelta | None = None
    finish_reason: ChatFinishReason | None = None
    usage: GenerationUsage | None = None


@dataclass(frozen=True, slots=True)
class ToolCallResult:
    """A whole tool call; `arguments` is the JSON text as generated."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatResult:
    """A whole answer. `content` is None when there was no text besides white space."""

    content: str | None
    reasoning: str | None
    tool_calls: tuple[ToolCallResult, ...]
    finish_reason: ChatFinishReason
    usage: GenerationUsage


class Chat(Protocol):
    """What the API needs of a chat service."""

    async def open(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Admit a request and return its deltas.

        Everything that can be refused is refused here, before the first byte of an answer: raises
        `RequestError`, `ContextLengthError`, `OverloadedError`, `NotReadyError`. Closing the iterator
        (`aclose`) aborts the generation.
        """
        ...


class Render(Protocol):
    """Messages and tools as a prompt: `Family.render`, of the model's family or of its file's own template."""

    def __call__(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        """The prompt. Raises `TemplateRequestError` and `TemplateFileError`."""
        ...


class ChatService:
    """Answers chat requests with one model of one family. Implements `Chat`. `render` None is the family's own."""

    def __init__(self, engine: AsyncEngine, family: Family, render: Render | None = None) -> None:
        self._engine = engine
        self._family = family
        self._template = family.render if render is None else render
        vocabulary = engine.vocabulary
        self._special_tokens = frozenset(m for m in family.output.markers if m in vocabulary.special)

    async def open(self, request: ChatRequest) -> ChatStream:
        """Admit a request and return its deltas; see `Chat.open`."""
        # Rendering, tokenizing and compiling take milliseconds, hundreds of them for a hostile schema: not on the loop.
        generation_request = await asyncio.to_thread(self._prepare, request)
        generation = self._engine.submit(generation_request)
        return ChatStream(generation, self._family.parser(_callable_tools(request)))

    def _prepare(self, request: ChatRequest) -> GenerationRequest:
        prompt = render_prompt(request, self._family, self._template)
        return GenerationRequest(
            tokens=tuple(tokenize_prompt(self._engine.vocabulary, prompt, param="messages")),
            sampling=request.sampling,
            max_tokens=request.max_tokens,
            stop=request.stop,
            constraint=self._constraint(request),
        )

    def _constraint(self, request: ChatRequest) -> Constraint | None:
        grammar = write_grammar(request, self._family, special_tokens=self._special_tokens)
        if grammar is None:
            return None
        try:
            return self._engine.compile(grammar)
        except GrammarError as error:
            raise locate_fault(error, request.tools, request.response_format, self._engine.compile) from error


def render_prompt(request: ChatRequest, family: Family, render: Render) -> str:
    """The prompt of a request for models of `family`, by its own template or the file's.

    Raises `RequestError` for tools, messages and conversations that the family or the template cannot take.
    """
    for i, tool in enumerate(request.tools):
        kind = tool.get("type", "function")
        if kind != "function" and kind not in family.pseudo_tools:
            raise RequestError(
                f"Tools of type {kind!r} are not understood by models of the family {family.id}.",
                param=f"tools[{i}].type",
            )
    # With tool_choice "none" the model is not shown what it must not call; a narrower choice leaves the prompt, and
    # with it the cached prefix, as it is.
    tools = () if request.tool_choice == "none" else request.tools
    try:
        return render(request.messages, tools)
    except TemplateRequestError as error:
        raise RequestError(error.message, param=error.param) from error
    except TemplateFileError as error:
        raise RequestError(f"The model's chat template refuses this conversation. {error}", param="messages") from error


def write_grammar(request: ChatRequest, family: Family, *, special_tokens: Collection[str] | None = None) -> str | None:
    """The grammar of a request's answer, None if anything may be written; see `Family.grammar`."""
    return family.grammar(
        narrow(request.tools, request.allowed_tools),
        request.tool_choice,
        request.parallel_tool_calls,
        response_schema=_response_schema(request.response_format),
        special_tokens=special_tokens,
    )


def narrow(tools: Sequence[Mapping[str, Any]], allowed: Collection[str] | None) -> tuple[Mapping[str, Any], ...]:
    """The tools with one of the allowed names, in their order; all of them if `allowed` is None."""
    if allowed is None:
        return tuple(tools)
    return tuple(tool for tool in tools if tool.get("function", {}).get("name") in allowed)


def _response_schema(response_format: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
        case {"type": "json_object" | "json_schema"}:
            return {"type": "object"}
        case _:
            return None


def _callable_tools(request: ChatRequest) -> tuple[Mapping[str, Any], ...]:
    return () if request.tool_choice == "none" else narrow(request.tools, request.allowed_tools)


class ChatStream:
    """The deltas of one answer. Ends after the one with `finish_reason`; `aclose` aborts the generation.

    A class and not an async generator: closing a generator that was never started runs none of its code.
    """

    def __init__(self, generation: Generation, parser: OutputParser) -> None:
        self._generation = generation
        self._parser = parser
        self._ready: deque[ChatDelta] = deque()
        self._has_calls = False

    def __aiter__(self) -> ChatStream:
        return self

    async def __anext__(self) -> ChatDelta:
        while not self._ready:
            self._read(await anext(self._generation))
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Abort the generation if it is still running. May be called again."""
        await self._generation.aclose()

    def _read(self, chunk: GenerationChunk) -> None:
        events = self._parser.feed(chunk.text)
        if chunk.finish_reason is not None:
            # A constrained call that is not complete here was cut, by a limit or a stop string: nothing else ends it.
            events += self._parser.finish(cut=True)
        for event in events:
            self._ready.extend(self._deltas(event))
        if chunk.finish_reason is not None:
            self._ready.append(ChatDelta(finish_reason=self._finish_reason(chunk.finish_reason), usage=chunk.usage))

    def _deltas(self, event: Event) -> list[ChatDelta]:
        match event:
            case ContentDelta(text):
                return [ChatDelta(content=text)]
            case ReasoningDelta(text):
                return [ChatDelta(reasoning=text)]
            case ToolCallStart(index, name, call_id):
                self._has_calls = True
                new_id = call_id or f"call_{secrets.token_hex(12)}"
                return [ChatDelta(tool_call=ToolCallDelta(index, new_id, name))]
            case ToolCallArguments(index, text):
                return [ChatDelta(tool_call=ToolCallDelta(index, arguments=text))]
            case _:
                # An end needs no delta. A retraction cannot be: calls are constrained whenever tools are offered.
                return []

    def _finish_reason(self, reason: FinishReason) -> ChatFinishReason:
        if reason is FinishReason.LENGTH:
            return "length"
        return "tool_calls" if self._has_calls else "stop"


async def fold(deltas: AsyncIterator[ChatDelta]) -> ChatResult:
    """The whole answer of an exhausted stream of deltas. Raises what the stream raises.

    Content that is only white space is None; pieces of a tool call are joined by their index, in order of index.
    """
    content: list[str] = []
    reasoning: list[str] = []
    calls: dict[int, list[ToolCallDelta]] = {}
    end: ChatDelta | None = None
    async for delta in deltas:
        content.append(delta.content or "")
        reasoning.append(delta.reasoning or "")
        if delta.tool_call is not None:
            calls.setdefault(delta.tool_call.index, []).append(delta.tool_call)
        if delta.finish_reason is not None:
            end = delta
    assert end is not None, "a stream of deltas ends with a finish reason"
    assert end.finish_reason is not None, "the end has a finish reason"
    assert end.usage is not None, "the end has the usage"
    text = "".join(content)
    return ChatResult(
        content=text if text.strip() else None,
        reasoning="".join(reasoning) or None,
        tool_calls=tuple(_join(pieces) for _, pieces in sorted(calls.items())),
        finish_reason=end.finish_reason,
        usage=end.usage,
    )


def _join(pieces: list[ToolCallDelta]) -> ToolCallResult:
    first = pieces[0]
    assert first.id is not None, "a call's first delta has its id"
    assert first.name is not None, "a call's first delta has its name"
    return ToolCallResult(first.id, first.name, "".join(piece.arguments for piece in pieces))
