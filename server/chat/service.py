"""A chat request becomes a prompt and a grammar; generated text becomes the deltas of an answer.

The one file that sees both worlds: messages and families on one side, tokens and the engine on the other.
Knows no HTTP and no pointer. `fold` makes the whole answer from the same deltas that are streamed: one path.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import secrets
import string
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from chat_templates import (
    NO_MARKERS,
    ContentDelta,
    Event,
    Family,
    Markers,
    OutputParser,
    Prompt,
    ReasoningDelta,
    TemplateFileError,
    TemplateRequestError,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from server.chat.decision import DecisionTokens
from server.chat.enforced_schemas import EnforcedSchemas, enforce_request
from server.chat.prompt import tokenize_prompt
from server.chat.schema_fault import without_faults
from server.chat.schema_warning import SchemaWarning
from server.chat.stable_prefix import StablePrefix
from server.chat.unenforced import Unenforced
from server.engine.async_engine import AsyncEngine
from server.engine.generation import Generation
from server.engine.sampling.constraint import Constraint, GrammarError
from server.engine.types import (
    Decision,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    GenerationUsage,
    SamplingParams,
    ServiceTerms,
)
from server.errors import RequestError

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits

ChatFinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat turn to answer, already validated in form. JSON values as the client sent them (OpenAI's shapes).

    `tool_choice` is "none", "auto", "required" or `{"type": "function", "function": {"name": …}}`. `allowed_tools`
    are the names that may be called, None for all; the model is shown every tool whatever they are.
    `response_format` is None, `{"type": "text"}`, `{"type": "json_object"}` or
    `{"type": "json_schema", "json_schema": {"name": …, "schema": …, "strict": …}}`. `strict_tools` are the names of the
    tools whose schema must be enforced, or the request refused. `call_bias` is added to the logits of the tokens with
    which a call begins, where an answer may be one or not (None: the service's own). `template_kwargs` are variables
    of the model's chat template; without `thinks` those that keep it from thinking are among them, if it has any.
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
    strict_tools: frozenset[str] = frozenset()
    call_bias: float | None = None
    terms: ServiceTerms = field(default_factory=ServiceTerms)
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    thinks: bool = True


_ANY_TOOL = {"name": "look_up", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}
WARM_UP = ChatRequest(({"role": "user", "content": "?"},), ({"type": "function", "function": _ANY_TOOL},))
"""A request that is prepared before anybody asks, and never evaluated."""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call. `id` and `name` come once, in the call's first delta, with empty `arguments`."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of an answer: exactly one of content, reasoning and tool_call, or the end.

    The end has finish_reason and usage, and `warnings` about schemas that the answer was not held to.
    """

    content: str | None = None
    reasoning: str | None = None
    tool_call: ToolCallDelta | None = None
    finish_reason: ChatFinishReason | None = None
    usage: GenerationUsage | None = None
    warnings: tuple[SchemaWarning, ...] = ()


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
    warnings: tuple[SchemaWarning, ...] = ()


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
    """Messages and tools as a prompt: `Family.prompt`, of the model's family or of its file's own template."""

    def __call__(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        markers: Markers,
        template_kwargs: Mapping[str, Any],
    ) -> Prompt:
        """The prompt. Raises `TemplateRequestError` and `TemplateFileError`."""
        ...


class ChatService:
    """Answers chat requests with one model of one family. Implements `Chat`.

    `render` None is the family's own; `call_bias` is that of requests that do not say one.
    """

    def __init__(
        self, engine: AsyncEngine, family: Family, render: Render | None = None, *, call_bias: float = 0.0
    ) -> None:
        self._engine = engine
        self._family = family
        self._template = family.prompt if render is None else render
        vocabulary = engine.vocabulary
        self._special_tokens = frozenset(m for m in family.output.markers if m in vocabulary.special)
        self._markers = Markers(vocabulary.special)
        self._call_bias = call_bias
        self._degradations: Counter[str] = Counter()
        self._stable_prefix = StablePrefix()

    @functools.cached_property
    def _decision_tokens(self) -> DecisionTokens:
        # Made when first wanted: it holds every token of the vocabulary by its bytes.
        reasoning = self._family.output.reasoning
        return DecisionTokens(self._engine.vocabulary, reasoning[1] if reasoning else None)

    @property
    def degradations(self) -> Mapping[str, int]:
        """How many schemas of accepted requests were degraded, by keyword: a bounded set."""
        return self._degradations.copy()

    def warm_up(self) -> None:
        """Do what the first request would wait for: compile the template, a grammar, and the table of decisions.

        Nothing is evaluated. What the model's template refuses, tools for example, it refuses when it is asked.
        """
        with contextlib.suppress(RequestError):
            self._prepare(WARM_UP)

    async def open(self, request: ChatRequest) -> ChatStream:
        """Admit a request and return its deltas; see `Chat.open`."""
        # Rendering, tokenizing and compiling take milliseconds, hundreds of them for a hostile schema: not on the loop.
        generation_request, schemas = await asyncio.to_thread(self._prepare, request)
        generation = self._engine.submit(generation_request)
        self._degradations.update(warning.keyword for warning in schemas.warnings if warning.keyword is not None)
        parser = self._family.parser(_callable_tools(request))
        return ChatStream(generation, parser, schemas, self._family.call_id_size)

    def _prepare(self, request: ChatRequest) -> tuple[GenerationRequest, EnforcedSchemas]:
        prompt = render_prompt(request, self._family, self._template, self._markers)
        schemas = enforce_request(request.tools, request.tool_choice, request.response_format, request.strict_tools)
        constraint, schemas = self._constraint(request, schemas)
        tokens = tuple(tokenize_prompt(self._engine.vocabulary, prompt, param="messages"))
        generation_request = GenerationRequest(
            tokens=tokens,
            sampling=request.sampling,
            max_tokens=request.max_tokens,
            stop=request.stop,
            constraint=constraint,
            decision=self._decision(request, schemas),
            n_prefix=self._n_prefix(request, tokens),
            terms=request.terms,
        )
        return generation_request, schemas

    def _n_prefix(self, request: ChatRequest, tokens: Sequence[int]) -> int:
        """How many of the tokens every conversation with these tools and system messages begins with."""
        tools, variables = _offered_tools(request), _template_variables(request, self._family)

        def render(messages: Sequence[Mapping[str, Any]]) -> str:
            return self._template(messages, tools, markers=Markers(()), template_kwargs=variables).text

        text = self._stable_prefix.of(request.messages, tools, variables, render)
        pieces, n_bytes = self._engine.vocabulary.pieces, len(text.encode())
        ends = itertools.accumulate(len(pieces[token]) for token in tokens)
        return sum(1 for _ in itertools.takewhile(lambda end: end <= n_bytes, ends))

    def _decision(self, request: ChatRequest, schemas: EnforcedSchemas) -> Decision | None:
        """The offset of calls, where the answer may be one or not.

        A positive one commits: an answer that begins as a call is held to the grammar of `required`. Small models that
        are pushed to begin with a brace write JSON after it that is no call.
        """
        bias = self._call_bias if request.call_bias is None else request.call_bias
        tools = _callable_tools(request)
        if not (bias and tools and request.tool_choice == "auto"):
            return None
        required = replace(request, tool_choice="required", response_format=None)
        commitment = self._compile(required, replace(schemas, response=None)) if bias > 0 else None
        return self._decision_tokens.decision(self._family.call_beginnings(tools), bias, commitment)

    def _constraint(self, request: ChatRequest, schemas: EnforcedSchemas) -> tuple[Constraint | None, EnforcedSchemas]:
        """The constraint of an answer, and the schemas as it enforces them: fewer than given if some do not compile."""
        try:
            return self._compile(request, schemas), schemas
        except GrammarError as error:
            fewer = without_faults(schemas, error, self._engine.compile)
        try:
            return self._compile(request, fewer), fewer
        except GrammarError as error:
            raise RequestError(
                f"The schemas of this request cannot be enforced together: {error.message}", param="tools"
            ) from error

    def _compile(self, request: ChatRequest, schemas: EnforcedSchemas) -> Constraint | None:
        grammar = write_grammar(request, self._family, schemas, special_tokens=self._special_tokens)
        return None if grammar is None else self._engine.compile(grammar)


def render_prompt(request: ChatRequest, family: Family, render: Render, markers: Markers = NO_MARKERS) -> Prompt:
    """The prompt of a request for models of `family`, by its own template or the file's.

    `markers` are the special tokens of the model's vocabulary, which are text where the caller wrote them.
    Raises `RequestError` for tools, messages and conversations that the family or the template cannot take.
    """
    for i, tool in enumerate(request.tools):
        kind = tool.get("type", "function")
        if kind != "function" and kind not in family.pseudo_tools:
            raise RequestError(
                f"Tools of type {kind!r} are not understood by models of the family {family.id}.",
                param=f"tools[{i}].type",
            )
    variables = _template_variables(request, family)
    try:
        return render(request.messages, _offered_tools(request), markers=markers, template_kwargs=variables)
    except TemplateRequestError as error:
        raise RequestError(error.message, param=error.param) from error
    except TemplateFileError as error:
        raise RequestError(f"The model's chat template refuses this conversation. {error}", param="messages") from error


def write_grammar(
    request: ChatRequest, family: Family, schemas: EnforcedSchemas, *, special_tokens: Collection[str] | None = None
) -> str | None:
    """The grammar of a request's answer, None if anything may be written; see `Family.grammar`."""
    return family.grammar(
        narrow(schemas.in_grammar(request.tools), request.allowed_tools),
        request.tool_choice,
        request.parallel_tool_calls,
        response_schema=schemas.response_schema,
        special_tokens=special_tokens,
    )


def narrow(tools: Sequence[Mapping[str, Any]], allowed: Collection[str] | None) -> tuple[Mapping[str, Any], ...]:
    """The tools with one of the allowed names, in their order; all of them if `allowed` is None."""
    if allowed is None:
        return tuple(tools)
    return tuple(tool for tool in tools if tool.get("function", {}).get("name") in allowed)


def _offered_tools(request: ChatRequest) -> tuple[Mapping[str, Any], ...]:
    # With tool_choice "none" the model is not shown what it must not call; a narrower choice leaves the prompt, and
    # with it the cached prefix, as it is.
    return () if request.tool_choice == "none" else request.tools


def _template_variables(request: ChatRequest, family: Family) -> Mapping[str, Any]:
    return {**({} if request.thinks else family.without_thinking), **request.template_kwargs}


def _callable_tools(request: ChatRequest) -> tuple[Mapping[str, Any], ...]:
    return () if request.tool_choice == "none" else narrow(request.tools, request.allowed_tools)


class ChatStream:
    """The deltas of one answer. Ends after the one with `finish_reason`; `aclose` aborts the generation.

    A class and not an async generator: closing a generator that was never started runs none of its code.
    """

    def __init__(
        self, generation: Generation, parser: OutputParser, schemas: EnforcedSchemas, call_id_size: int | None
    ) -> None:
        self._generation = generation
        self._call_id_size = call_id_size
        self._parser = parser
        self._schemas = schemas
        self._unenforced = Unenforced(schemas)
        self._ready: deque[ChatDelta] = deque()
        self._has_calls = False

    def __aiter__(self) -> ChatStream:
        return self

    async def __anext__(self) -> ChatDelta:
        while not self._ready:
            await self._read(await anext(self._generation))
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Abort the generation if it is still running. May be called again."""
        await self._generation.aclose()

    async def _read(self, chunk: GenerationChunk) -> None:
        events = self._parser.feed(chunk.text)
        if chunk.finish_reason is not None:
            # A constrained call that is not complete here was cut, by a limit or a stop string: nothing else ends it.
            events += self._parser.finish(cut=True)
        for event in events:
            self._ready.extend(self._deltas(event))
        if chunk.finish_reason is FinishReason.STOP:
            self._unenforced.end_content()
        if chunk.finish_reason is not None:
            found = await asyncio.to_thread(self._unenforced.warnings) if self._unenforced else ()
            self._ready.append(
                ChatDelta(
                    finish_reason=self._finish_reason(chunk.finish_reason),
                    usage=chunk.usage,
                    warnings=(*self._schemas.warnings, *found),
                )
            )

    def _deltas(self, event: Event) -> list[ChatDelta]:
        match event:
            case ContentDelta(text):
                self._unenforced.add_content(text)
                return [ChatDelta(content=text)]
            case ReasoningDelta(text):
                return [ChatDelta(reasoning=text)]
            case ToolCallStart(index, name, call_id):
                self._has_calls = True
                new_id = call_id or _new_id(self._call_id_size)
                self._unenforced.start(index, name, new_id)
                return [ChatDelta(tool_call=ToolCallDelta(index, new_id, name))]
            case ToolCallArguments(index, text):
                self._unenforced.add(index, text)
                return [ChatDelta(tool_call=ToolCallDelta(index, arguments=text))]
            case ToolCallEnd(index):
                self._unenforced.end(index)
                return []
            case _:
                # A retraction cannot be: calls are constrained whenever tools are offered.
                return []

    def _finish_reason(self, reason: FinishReason) -> ChatFinishReason:
        if reason is FinishReason.LENGTH:
            return "length"
        return "tool_calls" if self._has_calls else "stop"


def _new_id(size: int | None) -> str:
    """An id for a call of which the model told none, as its format wants ids in history: they come back there."""
    if size is None:
        return f"call_{secrets.token_hex(12)}"
    return "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(size))


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
        warnings=end.warnings,
    )


def _join(pieces: list[ToolCallDelta]) -> ToolCallResult:
    first = pieces[0]
    assert first.id is not None, "a call's first delta has its id"
    assert first.name is not None, "a call's first delta has its name"
    return ToolCallResult(first.id, first.name, "".join(piece.arguments for piece in pieces))
