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
from server.chat.answer import ChatStream, GoesOn, Said
from server.chat.decision import DecisionTokens
from server.chat.grammar import callable_tools
from server.chat.loop.another import is_asked_for, varied
from server.chat.loop.echo import Echoes, NoAnswer
from server.chat.loop.guard import CallGuard, Calls, Guard, LoopGuard, RepeatedCall, answered_calls
from server.chat.loop.results import question_of, results, turn_of
from server.chat.loop.told import told
from server.chat.prompt import tokenize_prompt
from server.chat.render import Render, render_prompt, template_variables
from server.chat.request import ChatDelta, ChatRequest
from server.chat.stable_prefix import Beginning, StablePrefix
from server.chat.tool_sets import ToolSet, ToolSets
from server.engine.async_engine import AsyncEngine
from server.engine.decision import Decision
from server.engine.generation import Generation
from server.engine.sampling.constraint import Constraint, GrammarError
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
        self._n_repeats = 0
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
        return ChatStream(
            generation,
            tool_set.parser(),
            schemas,
            self._family.call_id_size,
            guard=None if self._repeats_calls else _guard(request),
            goes_on=self._goes_on(request, generation_request, tool_set) if request.tool_choice == "auto" else None,
        )

    @property
    def repeated_calls(self) -> int:
        """How many answers went on in words in place of a call that had its result."""
        return self._n_repeats

    def _goes_on(self, request: ChatRequest, before: GenerationRequest, tool_set: ToolSet) -> GoesOn:
        """What is asked in place of what is refused: once for another call of the tool, and then for words."""
        asked_for_another = False

        async def goes_on(
            said: Said, refused: RepeatedCall | NoAnswer, n_generated: int
        ) -> tuple[Generation, OutputParser, Guard | None]:
            nonlocal asked_for_another
            if not asked_for_another:
                asked_for_another = True
                tool = refused.tool if isinstance(refused, RepeatedCall) else _last_tool(request)
                other = await asyncio.to_thread(self._another, request, tool_set, tool)
                if other is not None:
                    constraint, guard = other
                    resumed = self._after(before, said, constraint, n_generated)
                    return self._engine.submit(resumed), tool_set.parser(), guard
            self._n_repeats += 1
            resumed = await asyncio.to_thread(self._in_words, request, before, said, n_generated)
            return self._engine.submit(resumed), self._family.parser(()), None

        return goes_on

    def _another(self, request: ChatRequest, tool_set: ToolSet, name: str) -> tuple[Constraint, CallGuard] | None:
        """The constraint and the guard of another call of this tool; None if it cannot be varied."""
        calls, asked = answered_calls(request.messages), question_of(request.messages)
        answered = () if name in calls.given_up else calls.by_name.get(name, ())
        tools = tool_set.schemas.in_grammar(request.tools)
        function = next((tool["function"] for tool in tools if tool.get("function", {}).get("name") == name), None)
        other = None if function is None else varied(function, answered, asked)
        if other is None:
            return None
        tool = {"type": "function", "function": other}
        choice = {"type": "function", "function": {"name": name}}
        grammar = self._family.grammar([tool], choice, parallel_tool_calls=False, special_tokens=self._special_tokens)
        try:
            constraint = None if grammar is None else self._engine.compile(grammar)
        except GrammarError:
            return None
        guard = CallGuard(lambda arguments: is_asked_for(arguments, answered, asked))
        return None if constraint is None else (constraint, guard)

    def _in_words(
        self, request: ChatRequest, before: GenerationRequest, said: Said, n_generated: int
    ) -> GenerationRequest:
        """The same conversation after what was said, told as one without tools, held to words.

        A small model that is still shown the tools and may not call looks for another way to write the call; one that
        is shown turns of tools and no tools refuses. See `told`.
        """
        constraint: Constraint | None = self._in_prose(goes_on=bool(said.content.strip()))
        in_words = dataclasses.replace(request, messages=told(request.messages), tool_choice="none")
        try:
            resumed, tool_set = self._prepare(in_words)
        except RequestError as error:  # a template that takes less than was told
            log.warning("a repeated call is answered with the tools in sight: %s", error)
            return self._after(before, said, constraint, n_generated)
        constraint = constraint if request.response_format is None else tool_set.constraint
        return self._after(resumed, said, constraint, n_generated)

    def _after(
        self, request: GenerationRequest, said: Said, constraint: Constraint | None, n_generated: int
    ) -> GenerationRequest:
        """A generation that continues what was said, under another constraint and what is left of the limit."""
        reasoning = self._family.output.reasoning
        thought = f"{reasoning[0]}{said.reasoning}{reasoning[1]}\n\n" if reasoning and said.reasoning else ""
        spoken = (thought + said.content).encode()
        tokens = tuple(self._engine.vocabulary.tokenize(spoken, parse_special=True)) if spoken else ()
        left = None if request.max_tokens is None else max(1, request.max_tokens - n_generated)
        return dataclasses.replace(
            request, tokens=request.tokens + tokens, constraint=constraint, decision=None, max_tokens=left
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
        if not (bias and tools and request.tool_choice == "auto"):
            return None
        commitment = self._tool_sets.commitment(request, tool_set) if bias > 0 else None
        return self._decision_tokens.decision(self._family.call_beginnings(tools), bias, commitment)


def _guard(request: ChatRequest) -> LoopGuard:
    """What an answer is kept from: under `required` and a named choice only from making a call twice."""
    if request.tool_choice != "auto":
        return LoopGuard(Calls())
    said = [result.text for result in results(turn_of(request.messages))]
    echoes = Echoes(said) if said and request.response_format is None else None
    return LoopGuard(answered_calls(request.messages), echoes)


def _last_tool(request: ChatRequest) -> str:
    """The tool whose result came last in this turn, which has one."""
    *_, last = results(turn_of(request.messages))
    return last.name
