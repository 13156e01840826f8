"""A chat request becomes a prompt and a grammar, and is handed to the engine.

Sees both worlds: messages and families on one side, tokens and the engine on the other. Knows no HTTP and no pointer.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from chat_templates import NO_MARKERS, Family, Markers, Prompt
from server.chat.answer.continuation import DEFAULT_RULES, CallRules, Continuations
from server.chat.answer.guard import NoAnswer, RepeatedCall, UngroundedCall
from server.chat.answer.stream import ChatStream
from server.chat.decisions.beginnings import DecisionTokens
from server.chat.decisions.record import N_OTHERS, LowConfidence, Record
from server.chat.grammar import callable_tools
from server.chat.loop.echo import Echoes
from server.chat.loop.guard import Calls, LoopGuard, answered_calls
from server.chat.loop.results import results, turn_of
from server.chat.prompt import tokenize_prompt
from server.chat.render import MovedSystem, Render, render_prompt
from server.chat.request import AnswerWarning, ChatAnswer, ChatPrompt, ChatRequest
from server.chat.stable_prefix import Beginning, StablePrefix
from server.chat.thinking import template_variables
from server.chat.tool_sets import ToolSet, ToolSets
from server.engine.async_engine import AsyncEngine
from server.engine.decision import Decision
from server.engine.types import GenerationRequest
from server.errors import RequestError

log = logging.getLogger(__name__)

_ANY_TOOL = {"name": "look_up", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}
WARM_UP = ChatRequest(({"role": "user", "content": "?"},), ({"type": "function", "function": _ANY_TOOL},))
"""A request that is prepared before anybody asks, and never evaluated."""


class Chat(Protocol):
    """What the API needs of a chat service."""

    async def open(self, request: ChatRequest) -> ChatAnswer:
        """Admit a request and return its deltas.

        Everything that can be refused is refused here, before the first byte of an answer: raises
        `RequestError`, `ContextLengthError`, `OverloadedError`, `NotReadyError`.
        """
        ...

    async def prompt(self, request: ChatRequest) -> ChatPrompt:
        """What the model would be given for a request, which is not asked. Raises `RequestError` as `open` does."""
        ...


class Prepared(NamedTuple):
    """A request as the engine is asked it, what others of the same tools share with it, what its client is told."""

    generation: GenerationRequest
    tool_set: ToolSet
    warnings: tuple[AnswerWarning, ...] = ()


class ChatService:
    """Answers chat requests with one model of one family. Implements `Chat`.

    `render` None is the family's own; `call_bias` is that of requests that do not say one.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        family: Family,
        render: Render | None = None,
        *,
        call_bias: float = 0.0,
        rules: CallRules = DEFAULT_RULES,
    ) -> None:
        self.rules = rules
        self._engine = engine
        self._family = family
        self._template = family.prompt if render is None else render
        special = engine.vocabulary.special
        self._markers = Markers(special)
        self._special_tokens = frozenset(m for m in family.output.markers if m in special)
        self._tool_sets = ToolSets(family, self._special_tokens, engine.compile)
        self._call_bias = call_bias
        self._degradations: Counter[str] = Counter()
        self._stable_prefix = StablePrefix(engine.vocabulary, self._markers)
        self._continuations = Continuations(
            engine, family, self._special_tokens, self._tool_sets, prepare=self._prepare, rules=rules
        )

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

    async def prompt(self, request: ChatRequest) -> ChatPrompt:
        """What the model would be given; see `Chat.prompt`."""
        return await asyncio.to_thread(self._prompt, request)

    def _prompt(self, request: ChatRequest) -> ChatPrompt:
        tool_set = self._tool_sets.of(request)
        prompt, tokens = self._rendered(request, tool_set, self._beginning(request, tool_set))
        return ChatPrompt(prompt.text, tokens)

    async def open(self, request: ChatRequest) -> ChatStream:
        """Admit a request and return its deltas; see `Chat.open`."""
        # Rendering, tokenizing and compiling take milliseconds, hundreds of them for a hostile schema: not on the loop.
        generation_request, tool_set, warnings = await asyncio.to_thread(self._prepare, request)
        generation = self._engine.submit(generation_request)
        schemas = tool_set.schemas
        self._degradations.update(warning.keyword for warning in schemas.warnings if warning.keyword is not None)
        continuation = self._continuations.of(request, generation_request, tool_set)
        return ChatStream(
            generation,
            tool_set.parser(),
            schemas,
            self._family.call_id_size,
            guards=continuation.guards(_guard(request) if self.rules.ends_loops else None),
            continuation=continuation,
            record=self._record(request, tool_set),
            tells_tokens=request.logprobs is not None,
            warnings=warnings,
        )

    @property
    def repeated_calls(self) -> int:
        """How many answers went on in words in place of a call that had its result."""
        counts = self._continuations.n_in_words
        return counts[RepeatedCall] + counts[NoAnswer]

    @property
    def ungrounded_calls(self) -> int:
        """How often a call of which nothing was said was not made."""
        return self._continuations.n_in_words[UngroundedCall]

    @property
    def doubted_calls(self) -> int:
        """How many answers went on in words in place of a call that was less sure than its request wanted."""
        return self._continuations.n_in_words[LowConfidence]

    @property
    def copied_arguments(self) -> int:
        """How many optional arguments were left out because they were copies of their tool's description."""
        return self._continuations.n_dropped

    @property
    def further_calls(self) -> int:
        """How often one more call was asked for, because the question names something that no call had."""
        return self._continuations.n_further

    def _record(self, request: ChatRequest, tool_set: ToolSet) -> Record | None:
        """What an answer is recorded in whose decisions matter to its request."""
        if not _is_recorded(request):
            return None
        least = request.min_confidence if request.tool_choice == "auto" else None
        tools = callable_tools(request)
        return Record(self._family, tools, tool_set.parser, min_confidence=least, is_told=request.wants_decisions)

    def _prepare(self, request: ChatRequest) -> Prepared:
        tool_set = self._tool_sets.of(request)
        beginning = self._beginning(request, tool_set)
        prompt, tokens = self._rendered(request, tool_set, beginning)
        generation_request = GenerationRequest(
            tokens=tokens,
            sampling=request.sampling,
            max_tokens=request.max_tokens,
            stop=request.stop,
            constraint=tool_set.constraint,
            decision=self._decision(request, tool_set),
            n_prefix=beginning.n_tokens(tokens),
            terms=request.terms,
            n_others=_n_others(request),
            expected=self._expected(request.prediction),
            weighs_mask=request.logprobs is None or not request.logprobs.is_free,
        )
        return Prepared(generation_request, tool_set, (MovedSystem(prompt.moved),) if prompt.moved else ())

    def _rendered(
        self, request: ChatRequest, tool_set: ToolSet, beginning: Beginning
    ) -> tuple[Prompt, tuple[int, ...]]:
        prompt = render_prompt(request, tool_set.shown, self._family, self._template, self._markers)
        return prompt, tokenize_prompt(self._engine.vocabulary, prompt, beginning, param="messages")

    def _expected(self, prediction: str) -> tuple[int, ...]:
        text = prediction.encode("utf-8", "replace")
        return tuple(self._engine.vocabulary.tokenize(text, parse_special=False)) if text else ()

    def _beginning(self, request: ChatRequest, tool_set: ToolSet) -> Beginning:
        """What every conversation with these tools and system messages begins with."""
        variables = template_variables(request, self._family)

        def render(messages: Sequence[Mapping[str, Any]]) -> str:
            return self._template(messages, tool_set.shown, markers=NO_MARKERS, template_kwargs=variables).text

        return self._stable_prefix.of(request.messages, tool_set.key, variables, render)

    def _decision(self, request: ChatRequest, tool_set: ToolSet) -> Decision | None:
        """The offset of calls, where the answer may be one or not.

        A positive one commits: an answer that begins as a call is held to the grammar of `required`. Small models that
        are pushed to begin with a brace write JSON after it that is no call.
        """
        bias = self._call_bias if request.call_bias is None else request.call_bias
        tools = callable_tools(request)
        if not ((bias or _is_recorded(request)) and tools and request.tool_choice == "auto"):
            return None
        commitment = self._tool_sets.commitment(request, tool_set) if bias > 0 else None
        beginnings = self._family.call_beginnings(tools)
        return self._decision_tokens.decision(
            beginnings,
            bias,
            commitment,
            in_thought=tool_set.thought.is_open,
            text_start=self._family.output.call.text_start,
        )


def _n_others(request: ChatRequest) -> int | None:
    wanted = [] if request.logprobs is None else [request.logprobs.n_others]
    return max([*wanted, *([N_OTHERS] if _is_recorded(request) else [])], default=None)


def _is_recorded(request: ChatRequest) -> bool:
    """Whether anybody asks how sure the answer's decisions are."""
    return request.wants_decisions or request.min_confidence is not None


def _guard(request: ChatRequest) -> LoopGuard:
    """What an answer is kept from: under `required` and a named choice only from making a call twice."""
    if request.tool_choice != "auto":
        return LoopGuard(Calls())
    said = [result.text for result in results(turn_of(request.messages))]
    echoes = Echoes(said) if said and request.response_format is None else None
    return LoopGuard(answered_calls(request.messages), echoes)
