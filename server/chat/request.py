"""What travels between a dialect and the chat service: one request, and the deltas or the whole of its answer.

Data alone. JSON values are as the client sent them, in OpenAI's shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from server.chat.decisions.report import Decisions
from server.chat.source import Source
from server.engine.types import GenerationUsage, SamplingParams, ServiceTerms, TokenChoice

ChatFinishReason = Literal["stop", "length", "tool_calls"]
Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True)
class InputFormat:
    """What the one string of a custom tool must look like: a `definition` in the `syntax` "lark" or "regex".

    `place` is the definition's in the client's request.
    """

    syntax: Literal["lark", "regex"]
    definition: str
    place: str


@dataclass(frozen=True, slots=True)
class Logprobs:
    """A wish for an answer's tokens, each with `n_others` that were not chosen.

    Their probabilities are those under the grammar's mask, from which tokens are chosen, or without it (`is_free`).
    """

    n_others: int = 0
    is_free: bool = False


@dataclass(frozen=True, slots=True)
class Thinking:
    """A wish for an answer's thought: none if it is not `is_on`, else how hard (`effort`) and how long it may be.

    `max_tokens` is a bound; None leaves it to the effort, and without one to the model.
    """

    is_on: bool = True
    effort: Effort | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat turn to answer, already validated in form. JSON values as the client sent them (OpenAI's shapes).

    `tool_choice` is "none", "auto", "required" or `{"type": "function", "function": {"name": …}}`. `allowed_tools`
    are the names that may be called, None for all; the model is shown every tool whatever they are.
    `response_format` is None, `{"type": "text"}`, `{"type": "json_object"}` or
    `{"type": "json_schema", "json_schema": {"name": …, "schema": …, "strict": …}}`. `strict_tools` are the names of the
    tools whose schema must be enforced, or the request refused. `call_bias` is added to the logits of the tokens with
    which a call begins, where an answer may be one or not (None: the service's own). `template_kwargs` are variables
    of the model's chat template; `thinking` becomes such variables where the template has them, and else a bound.
    `wants_decisions`: how sure each decision was is told with the answer. Under `auto`, a call less sure than
    `min_confidence` is not made: the answer goes on in words. `input_formats` are those of custom tools by their names,
    which are among `tools` as functions with one string. With `logprobs` the answer's tokens are told.
    `prediction` is text that the answer will probably repeat: it makes it faster, not other.
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
    thinking: Thinking = Thinking()
    wants_decisions: bool = False
    min_confidence: float | None = None
    input_formats: Mapping[str, InputFormat] = field(default_factory=dict)
    logprobs: Logprobs | None = None
    prediction: str = ""


class ChatAnswer(Source["ChatDelta"], Protocol):
    """The deltas of one answer, to the one with `finish_reason`. `aclose` aborts the generation."""

    @property
    def n_prompt(self) -> int:
        """How many tokens the prompt has."""
        ...


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """What the model is given for a request: the rendered text, and its tokens."""

    text: str
    tokens: tuple[int, ...]


class AnswerWarning(Protocol):
    """What a client is told beside its answer."""

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object."""
        ...


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

    `tokens` are those that the model wrote since the last delta, if the request wants them: those of markers and of
    calls too. Of what was refused, and of forced further calls' openings, nothing is told.

    The end has finish_reason and usage, `warnings` about what the answer is not, or was kept from being, and the
    `decisions` if the request wants them; `stop` is the stop string that was met.
    """

    content: str | None = None
    reasoning: str | None = None
    tool_call: ToolCallDelta | None = None
    finish_reason: ChatFinishReason | None = None
    usage: GenerationUsage | None = None
    warnings: tuple[AnswerWarning, ...] = ()
    decisions: Decisions | None = None
    tokens: tuple[TokenChoice, ...] = ()
    stop: str | None = None


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
    warnings: tuple[AnswerWarning, ...] = ()
    decisions: Decisions | None = None
    tokens: tuple[TokenChoice, ...] = ()
