"""A request's tools, choice and format, prepared once: enforced schemas, a compiled grammar, printed tools.

Knows families, schemas and a function that compiles; no message and no token. All of it depends on
(tools, choice, allowed, parallel, thought, format, strict) alone, which an agent sends again with every turn: fifty
tools take a hundred milliseconds of Python the first time and under two after that. The law: what comes out of the
cache is what would be made without it, and nobody changes it.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from chat_templates import Family
from chat_templates.thought import UNBOUNDED, Thought
from server.chat.grammar import callable_tools, write_grammar
from server.chat.render import shown_tools
from server.chat.schemas.enforced import EnforcedSchemas, check_size, enforce_request
from server.chat.schemas.fault import without_faults
from server.chat.thinking import thought_of
from server.engine.sampling.constraint import Constraint, GrammarError
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Collection

    from chat_templates import OutputParser
    from chat_templates.tools import PreparedTools
    from server.chat.request import ChatRequest

# A server sees few tool sets at a time; a large one takes some ten megabytes with its grammar.
MAX_SETS = 64


@dataclass(frozen=True, slots=True)
class ToolSet:
    """`key` tells it from others. `shown` are the tools as the family's template reads them, None if it shows none.

    `constraint` is to be forked by who uses it; None lets the model write anything. `parser` makes a fresh one, and
    `resumed_parser` one for an answer whose thought is over; `thought`: how answers may think.
    """

    key: str
    shown: PreparedTools | None
    schemas: EnforcedSchemas
    constraint: Constraint | None
    parser: Callable[[], OutputParser]
    resumed_parser: Callable[[], OutputParser]
    thought: Thought = UNBOUNDED


class ToolSets:
    """Makes tool sets for one model of one family, and keeps the last ones. Thread-safe.

    `special_tokens` are the family's markers that the vocabulary holds as single tokens; `compile_grammar` raises
    `GrammarError`.
    """

    def __init__(
        self, family: Family, special_tokens: Collection[str], compile_grammar: Callable[[str], Constraint]
    ) -> None:
        self._family = family
        self._special_tokens = special_tokens
        self._compile_grammar = compile_grammar
        self._sets: OrderedDict[str, ToolSet] = OrderedDict()
        self._derived: dict[str, dict[str, Constraint | None]] = {}
        self._making: dict[str, Lock] = {}
        self._lock = Lock()

    def of(self, request: ChatRequest) -> ToolSet:
        """The request's tool set. Raises `RequestError` for tools and schemas that cannot be used."""
        key = _key(request, thought_of(request, self._family))
        with self._lock:
            known = self._sets.get(key)
            if known is not None:
                self._sets.move_to_end(key)
                return known
            turn = self._making.setdefault(key, Lock())
        with turn:  # several clients of one agent arrive together: one of them compiles
            try:
                known = self._sets.get(key)
                made = self._make(key, request) if known is None else known
                with self._lock:
                    self._keep(key, made)
            finally:
                self._making.pop(key, None)
        return made

    def commitment(self, request: ChatRequest, tool_set: ToolSet) -> Constraint | None:
        """The constraint of the same request under `required`: what an answer is held to that began as a call."""
        required = replace(request, tool_choice="required", response_format=None)
        schemas = replace(tool_set.schemas, response=None)
        return self.derived(tool_set, "required", lambda: self._compile(required, schemas))

    def derived(self, tool_set: ToolSet, purpose: str, make: Callable[[], Constraint | None]) -> Constraint | None:
        """Another constraint of the same tools, made once and kept as long as they are."""
        with self._lock:
            known = self._derived.get(tool_set.key, {})
            if purpose in known:
                return known[purpose]
        made = make()
        with self._lock:
            if tool_set.key in self._sets:
                self._derived.setdefault(tool_set.key, {})[purpose] = made
        return made

    def _keep(self, key: str, made: ToolSet) -> None:
        self._sets[key] = made
        while len(self._sets) > MAX_SETS:
            oldest, _ = self._sets.popitem(last=False)
            self._derived.pop(oldest, None)

    def _make(self, key: str, request: ChatRequest) -> ToolSet:
        shown = shown_tools(request, self._family)
        schemas = enforce_request(
            request.tools, request.tool_choice, request.response_format, request.strict_tools, request.input_formats
        )
        constraint, schemas = self._constraint(request, schemas)
        tools, thought = callable_tools(request), thought_of(request, self._family)
        parsers = (self._family.parsers(tools, in_thought=thought.is_open), self._family.parsers(tools))
        return ToolSet(key, shown, schemas, constraint, *parsers, thought=thought)

    def _constraint(self, request: ChatRequest, schemas: EnforcedSchemas) -> tuple[Constraint | None, EnforcedSchemas]:
        """The constraint of an answer, and the schemas as it enforces them: fewer than given if some do not compile."""
        try:
            return self._compile(request, schemas), schemas
        except GrammarError as error:
            fewer = without_faults(schemas, error, self._compile_grammar)
        try:
            return self._compile(request, fewer), fewer
        except GrammarError as error:
            raise RequestError(
                f"The schemas of this request cannot be enforced together: {error.message}", param="tools"
            ) from error

    def _compile(self, request: ChatRequest, schemas: EnforcedSchemas) -> Constraint | None:
        grammar = write_grammar(
            request,
            self._family,
            schemas,
            special_tokens=self._special_tokens,
            thought=thought_of(request, self._family),
        )
        return None if grammar is None else self._compile_grammar(grammar)


def _key(request: ChatRequest, thought: Thought) -> str:
    choice, allowed = request.tool_choice, request.allowed_tools
    parts: list[Any] = [
        list(request.tools),
        choice if isinstance(choice, str) else dict(choice),
        None if allowed is None else sorted(allowed),
        request.parallel_tool_calls,
        astuple(thought),
        request.response_format,
        sorted(request.strict_tools),
        [(name, form.syntax, form.definition) for name, form in request.input_formats.items()],
    ]
    text = json.dumps(parts, ensure_ascii=False)
    check_size(len(text))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
