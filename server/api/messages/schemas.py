"""The fields of POST /v1/messages: what each may hold, what is left out, what is refused by name.

Knows Anthropic's wire names, and the extras that this server has in every dialect. Messages, tools and the choice among
them, whose shapes depend on each other, are read in `server.api.messages.history` and `server.api.messages.tools`. The
law: a parameter is honoured, documented as ignored, named in the answer's warnings, or refused by name.

Accepted and ignored, without a warning:

    metadata, service_tier     nobody is told, and there is one tier
    cache_control              every prefix is kept, marked or not; what was found is in cache_read_input_tokens
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from server.api.request.fields import NOTHING, Shape, validated
from server.api.request.sampling import Drawn, Probability, StopString
from server.api.request.thinking import Bound
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.api.request.ignored import IgnoredParameters

_OF_A_CLOUD = "an option of Anthropic's cloud"

WITHOUT_EFFECT: Mapping[str, str] = MappingProxyType(
    {
        "betas": "betas are no part of a body",
        "billing_policy": _OF_A_CLOUD,
        "compaction": "a history is read as it is sent",
        "container": _OF_A_CLOUD,
        "context_management": "a history is read as it is sent",
        "diagnostics": _OF_A_CLOUD,
        "fallback_credit_token": _OF_A_CLOUD,
        "fallbacks": "there is one model",
        "inference_geo": _OF_A_CLOUD,
        "mcp_servers": "servers of tools are asked by the client; offer their tools",
        "speed": "there is one speed",
        "user_profile_id": _OF_A_CLOUD,
        "workspace_id": _OF_A_CLOUD,
    }
)
"""Fields of a body that change no answer of this server, and why. Null is not even named."""


class Thinking(Shape):
    """Whether the model may think, and for how long; `display` "omitted" keeps thoughts back."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Bound | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(Shape):
    """A schema that the answer's text has to fit. It is enforced, or the request refused."""

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Shape):
    """`effort` bounds a thought that has no budget; `task_budget` is left out."""

    format: OutputFormat | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    task_budget: dict[str, Any] | None = None


class CountTokensBody(Drawn):
    """The body of POST /v1/messages/count_tokens, and what of an answer's body it shares.

    Of what a body may hold beside Anthropic's fields, these are this server's own: `seed`, `min_p`, `call_bias`,
    `decisions`, `min_confidence`, `prompt_cache_key`, `chat_template_kwargs` and `timeout`, as in chat completions.
    """

    model: str
    messages: list[dict[str, Any]]
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    stop_sequences: list[StopString] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    thread: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    cache_control: dict[str, Any] | None = None
    call_bias: Annotated[float, Field(ge=-100, le=100)] | None = None
    decisions: bool | None = None
    min_confidence: Probability | None = None
    prompt_cache_key: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None


class MessagesBody(CountTokensBody):
    """The body of POST /v1/messages. `max_tokens` has to be said; 0 evaluates the prompt and answers nothing."""

    max_tokens: Annotated[int, Field(ge=0)]


def read_body(shape: type[CountTokensBody], body: Mapping[str, Any], ignored: IgnoredParameters) -> CountTokensBody:
    """The validated fields of a body; messages and tools still unchecked inside.

    What changes no answer is left out, and added to `ignored`. Raises `RequestError` with `param` and a code.
    """
    wanted = validated(shape, ignored.without(body, "", WITHOUT_EFFECT), NOTHING)
    if wanted.output_format is not None and wanted.output_config is not None and wanted.output_config.format:
        raise RequestError(
            "output_format is an older name of output_config.format; send one of them.",
            param="output_format",
            code="invalid_value",
        )
    _note_thread(wanted, ignored)
    _note_rest(wanted, ignored)
    return wanted


def output_format(wanted: CountTokensBody) -> OutputFormat | None:
    """The form of the answer, under either of its names."""
    return wanted.output_format or (wanted.output_config.format if wanted.output_config else None)


def _note_thread(wanted: CountTokensBody, ignored: IgnoredParameters) -> None:
    if wanted.thread is None:
        return
    if wanted.thread.get("type") != "create":
        raise RequestError(
            "thread is not supported here but for the type 'create': no conversation is held. Send all its messages.",
            param="thread",
            code="unsupported_parameter",
        )
    ignored.add("thread", "no conversation is held here; send all its messages with each request")


def _note_rest(wanted: CountTokensBody, ignored: IgnoredParameters) -> None:
    if wanted.thinking is not None and wanted.thinking.type == "between_tools":
        ignored.add("thinking.type", "where a model thinks, if it thinks, is its own affair")
    if wanted.output_config is not None and wanted.output_config.task_budget is not None:
        ignored.add("output_config.task_budget", "max_tokens bounds an answer, and nothing a task")
