"""A chat request becomes a prompt and a grammar, and is handed to the engine.

Sees both worlds: messages and families on one side, tokens and the engine on the other. Knows no HTTP and no pointer.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from chat_templates import NO_MARKERS, Family, Markers, OutputParser
from server.chat.answer import ChatStream, Said, Withheld
from server.chat.decision import DecisionTokens
from server.chat.decisions.record import N_OTHERS, LowConfidence, Record
from server.chat.grammar import callable_tools
from server.chat.loop import Calls, RepeatedCall, RepeatGuard, answered_calls
from server.chat.prompt import tokenize_prompt
from server.chat.render import Render, render_prompt, template_variables
from server.chat.request import ChatDelta, ChatRequest
from server.chat.stable_prefix import Beginning, StablePrefix
from server.chat.tool_sets import ToolSet, ToolSets
from server.engine.async_engine import AsyncEngine
from server.engine.decision import Decision
from server.engine.generation import Generation
from server.engine.sampling.constraint import Constraint
from server.engine.types import GenerationRequest
from server.errors import RequestError

log = logging.getLogger(__name__)

_ANY_TOOL = {"name": "look_up", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}
WARM_UP = ChatRequest(({"role": "user", "content": "?"},), ({"type": "function", "function": _ANY_TOOL},))
"""A request that is prepared before anybody asks, and never evaluated."""


class Chat(Protocol):
    """What the API needs of a chat service."""

    async def open(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Admit a request and return its deltas.

        Everything that can be refused is refused here, before the first byte of an answer: raises
        `RequestError`, `ContextLengthError`, `OverloadedError`, `NotReadyError`. Closing the iterator
        (`aclose`) aborts the generation.
        """
        ...


class ChatService:
    """Answers chat requests with one model of one family. Implements `Chat`.

    `render` None is the family's own; `call_bias` is that of requests that do not say one. Unless `repeats_calls`, a
    call that has its result is not made again: the answer goes on in words.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        family: Family,
        render: Render | None = None,
        *,
        call_bias: float = 0.0,
        repeats_calls: bool = False,
    ) -> None:
        self._repeats_calls = repeats_calls
        self._n_withheld: Counter[type[Withheld]] = Counter()
        self._engine = engine
        self._family = family
        self._template = family.prompt if render is None else render
        special = engine.vocabulary.special
        self._markers = Markers(special)
        self._special_tokens = frozenset(m for m in family.output.markers if m in special)
        self._tool_sets = ToolSets(family, self._special_tokens, engine.compile)
        self._prose: dict[bool, Constraint] = {}
        self._call_bias = call_bias
        self._degradations: Counter[str] = Counter()
        self._stable_prefix = StablePrefix(engine.vocabulary, self._markers)

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
        generation_request, tool_set = await asyncio.to_thread(self._prepare, request)
        generation = self._engine.submit(generation_request)
        schemas = tool_set.schemas
        self._degradations.update(warning.keyword for warning in schemas.warnings if warning.keyword is not None)
        guard = None if self._repeats_calls else RepeatGuard(_answered(request))

        async def in_words(said: Said, n_generated: int, reason: Withheld) -> tuple[Generation, OutputParser]:
            self._n_withheld[type(reason)] += 1
            resumed = await asyncio.to_thread(self._resumed, request, generation_request, said, n_generated)
            return self._engine.submit(resumed), self._family.parser(())

        return ChatStream(
            generation,
            tool_set.parser(),
            schemas,
            self._family.call_id_size,
            guard=guard,
            in_words=in_words if request.tool_choice == "auto" else None,
            record=self._record(request, tool_set),
        )

    @property
    def repeated_calls(self) -> int:
        """How many answers went on in words in place of a call that had its result."""
        return self._n_withheld[RepeatedCall]

    @property
    def doubted_calls(self) -> int:
        """How many answers went on in words in place of a call that was less sure than its request wanted."""
        return self._n_withheld[LowConfidence]

    def _record(self, request: ChatRequest, tool_set: ToolSet) -> Record | None:
        """What an answer is recorded in whose decisions matter to its request."""
        if not _is_recorded(request):
            return None
        least = request.min_confidence if request.tool_choice == "auto" else None
        tools = callable_tools(request)
        return Record(self._family, tools, tool_set.parser, min_confidence=least, is_told=request.wants_decisions)

    def _resumed(
        self, request: ChatRequest, before: GenerationRequest, said: Said, n_generated: int
    ) -> GenerationRequest:
        """The same conversation after what was said, without tools, held to words.

        A small model that is still shown the tools and may not call looks for another way to write the call: of five
        answers that the 0.5B of Qwen2.5-Coder had to give in words, two held the result's fact with the tools in sight,
        and five without.
        """
        reasoning = self._family.output.reasoning
        thought = f"{reasoning[0]}{said.reasoning}{reasoning[1]}\n\n" if reasoning and said.reasoning else ""
        spoken = (thought + said.content).encode()
        tokens = tuple(self._engine.vocabulary.tokenize(spoken, parse_special=True)) if spoken else ()
        constraint: Constraint | None = self._in_prose(goes_on=bool(said.content.strip()))
        try:
            resumed, tool_set = self._prepare(dataclasses.replace(request, tool_choice="none"))
        except RequestError as error:  # a template that shows no result without the tools
            log.warning("a repeated call is answered with the tools in sight: %s", error)
            resumed = before
        else:
            constraint = constraint if request.response_format is None else tool_set.constraint
        left = None if request.max_tokens is None else max(1, request.max_tokens - n_generated)
        return dataclasses.replace(
            resumed,
            tokens=resumed.tokens + tokens,
            constraint=constraint,
            decision=None,
            max_tokens=left,
            n_others=None,
        )

    def _in_prose(self, *, goes_on: bool) -> Constraint:
        if goes_on not in self._prose:
            self._prose[goes_on] = self._engine.compile(self._family.prose(self._special_tokens, goes_on=goes_on))
        return self._prose[goes_on]

    def _prepare(self, request: ChatRequest) -> tuple[GenerationRequest, ToolSet]:
        tool_set = self._tool_sets.of(request)
        prompt = render_prompt(request, tool_set.shown, self._family, self._template, self._markers)
        beginning = self._beginning(request, tool_set)
        tokens = tokenize_prompt(self._engine.vocabulary, prompt, beginning, param="messages")
        generation_request = GenerationRequest(
            tokens=tokens,
            sampling=request.sampling,
            max_tokens=request.max_tokens,
            stop=request.stop,
            constraint=tool_set.constraint,
            decision=self._decision(request, tool_set),
            n_prefix=beginning.n_tokens(tokens),
            terms=request.terms,
            n_others=N_OTHERS if _is_recorded(request) else None,
        )
        return generation_request, tool_set

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
        return self._decision_tokens.decision(self._family.call_beginnings(tools), bias, commitment)


def _is_recorded(request: ChatRequest) -> bool:
    """Whether anybody asks how sure the answer's decisions are."""
    return request.wants_decisions or request.min_confidence is not None


def _answered(request: ChatRequest) -> Calls:
    """The calls that an answer is kept from making again: under `required` and a named choice none is."""
    return answered_calls(request.messages) if request.tool_choice == "auto" else Calls()
