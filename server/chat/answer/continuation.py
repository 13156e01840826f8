"""What an answer goes on with: in place of what was refused, or with one more call that was asked for.

Knows a request, its family and the engine; no HTTP and no delta. One `Continuation` belongs to one answer. The law: a
generation begins where the text of the answer stands, so that the prompt and what was said are in the cache.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat_templates import Family, OutputParser
from server.chat.answer.guard import Guard, NoAnswer, Refusal, RepeatedCall, UngroundedCall
from server.chat.evidence.copied import CopiedArguments
from server.chat.evidence.guard import GroundGuard, HeldCall
from server.chat.evidence.rules import Evidence, MadeCall
from server.chat.grammar import callable_tools, narrow
from server.chat.loop.another import is_asked_for, varied
from server.chat.loop.guard import answered_calls
from server.chat.loop.results import question_of, results, turn_of
from server.chat.loop.told import told
from server.chat.request import AnswerWarning, ChatRequest
from server.chat.tool_sets import ToolSet, ToolSets
from server.engine.async_engine import AsyncEngine
from server.engine.generation import Generation
from server.engine.sampling.constraint import Constraint, GrammarError
from server.engine.types import GenerationRequest
from server.errors import ContextLengthError, NotReadyError, OverloadedError, RequestError

log = logging.getLogger(__name__)

MAX_CALLS = 16  # of an answer that goes on by what the question names
MAX_TRIES = 2  # of other tools, in place of one call


@dataclass(slots=True)
class Said:
    """What an answer has told so far besides calls."""

    reasoning: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class Next:
    """A generation that goes on: `text` is the answer's before it, which the parser has read."""

    generation: Generation
    parser: OutputParser
    guards: tuple[Guard, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be generated next: made on a thread, submitted on the loop."""

    request: GenerationRequest
    parser: OutputParser
    guard: Guard | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class CallRules:
    """Which rules hold for calls; see docs/deciding.md.

    `ends_loops`: a call that has its result is not made again. `asks_for_more`: one more call is asked for where the
    question names something that no call has. `grounded`: a call of which nothing was said is not made.
    `drops_copies`: an optional argument that is a copy of its tool's description is left out.
    """

    ends_loops: bool = True
    asks_for_more: bool = True
    grounded: bool = True
    drops_copies: bool = True


DEFAULT_RULES = CallRules()


class Continuations:
    """Makes the `Continuation` of each answer. `prepare` is the service's: a request's prompt and tool set."""

    def __init__(
        self,
        engine: AsyncEngine,
        family: Family,
        special_tokens: frozenset[str],
        tool_sets: ToolSets,
        *,
        prepare: Callable[[ChatRequest], tuple[GenerationRequest, ToolSet, Sequence[AnswerWarning]]],
        rules: CallRules,
    ) -> None:
        self.engine = engine
        self.family = family
        self.special_tokens = special_tokens
        self.tool_sets = tool_sets
        self.prepare = prepare
        self.rules = rules
        self.n_in_words: Counter[type[Refusal]] = Counter()
        self.n_further = 0
        self.n_dropped = 0
        self._prose: dict[bool, Constraint] = {}

    def of(self, request: ChatRequest, begun: GenerationRequest, tool_set: ToolSet) -> Continuation:
        """The continuation of the answer to this request, which has begun with this generation."""
        return Continuation(self, request, begun, tool_set)

    def prose(self, *, goes_on: bool) -> Constraint:
        """The constraint of words; with `goes_on` in the middle of a line."""
        if goes_on not in self._prose:
            grammar = self.family.prose(self.special_tokens, goes_on=goes_on)
            self._prose[goes_on] = self.engine.compile(grammar)
        return self._prose[goes_on]


class Continuation:
    """How one answer goes on. Used by one task."""

    def __init__(
        self, shared: Continuations, request: ChatRequest, begun: GenerationRequest, tool_set: ToolSet
    ) -> None:
        self._shared = shared
        self._request = request
        self._begun = begun
        self._tool_set = tool_set
        self._asked_for_another = False
        self._excluded: list[str] = []
        self._tools = tool_set.schemas.in_grammar(callable_tools(request))
        functions = [tool["function"] for tool in self._tools if tool.get("type", "function") == "function"]
        self._evidence = Evidence(request.messages, functions)
        self._answered = [MadeCall(each.name, each.arguments) for each in results(turn_of(request.messages))]
        self._copied: CopiedArguments | None = None
        if shared.rules.drops_copies:
            offered = [tool["function"] for tool in callable_tools(request) if "function" in tool]
            self._copied = CopiedArguments(offered, lambda: self._evidence.said)

    def ended(self) -> tuple[AnswerWarning, ...]:
        """What the client is told at the end of the answer, once: what was left out of its calls."""
        left_out = () if self._copied is None else self._copied.warnings
        self._shared.n_dropped += len(left_out)
        return left_out

    def guards(self, loop: Guard | None) -> list[Guard]:
        """What reads the answer's first events, in this order: the others judge calls as they are told."""
        guards: list[Guard] = [] if self._copied is None else [self._copied]
        guards += [] if loop is None else [loop]
        may_refuse = self._shared.rules.grounded and self._request.tool_choice in ("auto", "required")
        if may_refuse and not self._evidence.names_something:
            guards.append(GroundGuard(self._evidence))
        return guards

    async def in_place_of(self, refused: Refusal, said: Said) -> Next | None:
        """What is generated in place of what was refused; None if the answer ends."""
        if self._request.tool_choice not in ("auto", "required"):
            return None
        if isinstance(refused, UngroundedCall):
            self._shared.n_in_words[type(refused)] += 1
            return self._submitted(await asyncio.to_thread(self._another_tool, refused.tool, said))
        if self._request.tool_choice != "auto":
            return None
        if isinstance(refused, RepeatedCall | NoAnswer) and not self._asked_for_another:
            self._asked_for_another = True
            tool = refused.tool if isinstance(refused, RepeatedCall) else self._last_tool()
            other = await asyncio.to_thread(self._varied, tool, said)
            if other is not None:
                return self._submitted(other)
        self._shared.n_in_words[type(refused)] += 1
        return self._submitted(await asyncio.to_thread(self._in_words, said))

    async def further(self, made: Sequence[MadeCall], text: str) -> Next | None:
        """One more call after those made, if the question asks for it; `text` is the answer's so far.

        What was answered since the question was asked for no more.
        """
        request, rules = self._request, self._shared.rules
        if not (rules.asks_for_more and request.parallel_tool_calls and request.tool_choice in ("auto", "required")):
            return None
        if request.stop or len(made) >= MAX_CALLS or len(self._excluded) >= MAX_TRIES:
            return None
        if not self._evidence.asks_for_more([*self._answered, *made]):
            return None
        plan = await asyncio.to_thread(self._further, list(made), text)
        try:
            return self._submitted(plan)
        except (OverloadedError, NotReadyError, ContextLengthError):  # what was told is an answer as it stands
            return None

    def exclude(self, tool: str) -> None:
        """Ask for this tool no more in this answer."""
        self._excluded.append(tool)

    def _further(self, made: list[MadeCall], text: str) -> _Plan | None:
        prefix = self._shared.family.before_further(text)
        markers = self._shared.family.output.markers
        if any(special in prefix for special in self._vocabulary.special if special not in markers):
            return None  # text that looks like a token of the vocabulary would become it
        # Where one thing follows another, another tool may need the first one's result.
        known = [*self._answered, *made]
        tools = narrow(self._left(), {call.name for call in known}) if self._evidence.has_sequence else self._left()
        constraint = self._one_more_of(tools)
        resumed = None if constraint is None else self._resumed(self._begun, prefix, constraint)
        if resumed is None:
            return None
        parser = self._tool_set.parser()
        parser.feed(prefix)
        self._shared.n_further += 1
        guard = HeldCall(
            lambda call: self._evidence.asks_for(call, known),
            len(made),
            is_ruled_out=lambda call: self._evidence.rules_out(call, known),
        )
        return _Plan(resumed, parser, guard, prefix)

    def _another_tool(self, name: str, said: Said) -> _Plan:
        """Another tool's call in place of one that nothing speaks for; then words, or the first if it must be one."""
        self._excluded.append(name)
        left = self._left()
        spoken = self._spoken(said)
        if left and len(self._excluded) <= MAX_TRIES:
            constraint = self._one_call_of(left)
            if constraint is not None:
                guard = HeldCall(self._evidence.speaks_for, 0, refusal=UngroundedCall)
                return self._next(self._resumed(self._begun, spoken, constraint), guard, spoken)
        if self._request.tool_choice == "auto":
            constraint = self._shared.prose(goes_on=bool(said.content.strip()))
            return self._next(self._resumed(self._begun, spoken, constraint), None, spoken)
        first = narrow(self._tools, {self._excluded[0]})
        constraint = self._one_call_of(first) or self._tool_set.constraint
        return self._next(self._resumed(self._begun, spoken, constraint), None, spoken)

    def _varied(self, name: str, said: Said) -> _Plan | None:
        """Another call of a tool that was answered; None if it cannot be varied."""
        messages = self._request.messages
        calls, asked = answered_calls(messages), question_of(messages)
        answered = () if name in calls.given_up else calls.by_name.get(name, ())
        function = next((tool["function"] for tool in narrow(self._tools, {name})), None)
        other = None if function is None else varied(function, answered, asked)
        if other is None:
            return None
        constraint = self._one_call_of([{"type": "function", "function": other}])
        if constraint is None:
            return None
        guard = HeldCall(lambda call: is_asked_for(call.arguments, answered, asked), 0, refusal=RepeatedCall)
        spoken = self._spoken(said)
        return self._next(self._resumed(self._begun, spoken, constraint), guard, spoken)

    def _in_words(self, said: Said) -> _Plan:
        """The same conversation after what was said, told as one without tools, held to words.

        A small model that is still shown the tools and may not call looks for another way to write the call; one that
        is shown turns of tools and no tools refuses. See `told`.
        """
        constraint: Constraint | None = self._shared.prose(goes_on=bool(said.content.strip()))
        in_words = dataclasses.replace(self._request, messages=told(self._request.messages), tool_choice="none")
        begun = self._begun
        try:
            begun, tool_set, _ = self._shared.prepare(in_words)
        except RequestError as error:  # a template that takes less than was told
            log.warning("a repeated call is answered with the tools in sight: %s", error)
        else:
            constraint = constraint if self._request.response_format is None else tool_set.constraint
        spoken = self._spoken(said)
        resumed = self._resumed(begun, spoken, constraint)
        return _Plan(resumed, self._shared.family.parser(()), None, spoken)

    def _last_tool(self) -> str:
        """The tool whose result came last in this turn, which has one."""
        *_, last = results(turn_of(self._request.messages))
        return last.name

    def _next(self, resumed: GenerationRequest, guard: Guard | None, text: str) -> _Plan:
        return _Plan(resumed, self._tool_set.resumed_parser(), guard, text)

    def _submitted(self, plan: _Plan | None) -> Next | None:
        if plan is None:
            return None
        generation = self._shared.engine.submit(plan.request)
        if self._copied is not None:
            self._copied.begin()
        guards = tuple(guard for guard in (self._copied, plan.guard) if guard is not None)
        return Next(generation, plan.parser, guards, plan.text)

    def _left(self) -> tuple[Mapping[str, Any], ...]:
        """The tools that were not excluded."""
        return tuple(tool for tool in self._tools if tool.get("function", {}).get("name") not in self._excluded)

    def _one_call_of(self, tools: Sequence[Mapping[str, Any]]) -> Constraint | None:
        """The constraint of an answer that is one call of these tools; None if there is none."""
        family, special = self._shared.family, self._shared.special_tokens
        if not tools:
            return None
        return self._compiled(family.grammar(tools, "required", parallel_tool_calls=False, special_tokens=special))

    def _one_more_of(self, tools: Sequence[Mapping[str, Any]]) -> Constraint | None:
        """The constraint of one more call of these tools; None if there is none. That of all tools is kept."""

        def make() -> Constraint | None:
            return self._compiled(self._shared.family.further_call(tools, self._shared.special_tokens))

        if not tools:
            return None
        is_of_all = len(tools) == len(self._tools)
        return self._shared.tool_sets.derived(self._tool_set, "one more", make) if is_of_all else make()

    def _compiled(self, grammar: str | None) -> Constraint | None:
        try:
            return None if grammar is None else self._shared.engine.compile(grammar)
        except GrammarError as error:
            log.warning("no other call can be asked for: %s", error)
            return None

    def _spoken(self, said: Said) -> str:
        """The answer's text of what was said besides calls."""
        output = self._shared.family.output
        words = output.call.text_start + said.content if said.content.strip() else ""
        if output.reasoning is None:
            return words
        begin, end = output.reasoning
        if not (said.reasoning or self._tool_set.thought.is_open):
            return words
        thought = said.reasoning if self._tool_set.thought.is_open else begin + said.reasoning
        return thought + end + output.call.behind_thought + words

    def _resumed(self, begun: GenerationRequest, text: str, constraint: Constraint | None) -> GenerationRequest:
        """A generation that continues `text` after a prompt, under another constraint and what is left of the limit.

        What was refused is not counted: how far it came depends on drafts, and an answer must not.
        """
        tokens = tuple(self._vocabulary.tokenize(text.encode(), parse_special=True)) if text else ()
        limit = self._request.max_tokens
        left = None if limit is None else max(1, limit - len(tokens))
        return dataclasses.replace(
            begun, tokens=begun.tokens + tokens, constraint=constraint, decision=None, max_tokens=left, n_others=None
        )

    @property
    def _vocabulary(self) -> Any:
        return self._shared.engine.vocabulary
