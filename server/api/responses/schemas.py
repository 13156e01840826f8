"""The fields of a request for a response: what each may hold, what is ignored, what is refused by name.

Knows OpenAI's wire names and what this server adds. Items and tools, whose shapes depend on each other, are read in
`server.api.responses.items` and `server.api.responses.tools`. The law: a parameter is honoured, ignored (named in the
answer's warnings, unless it is one of IGNORED), or refused by name; none is dropped silently.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from server.api.request.fields import Shape, invalid
from server.api.request.ignored import BODY, IgnoredParameters
from server.api.request.sampling import Probability, SampledRequest, validated_sampled
from server.api.request.thinking import Bound, Reasoning, read_thinking
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.chat.request import Thinking

IGNORED = frozenset({"client_metadata", "metadata", "safety_identifier", "service_tier", "user"})
"""What says nothing to the model and is not even named. The answer repeats all but `client_metadata`."""

UNSUPPORTED: Mapping[str, tuple[tuple[Any, ...], str]] = MappingProxyType(
    {
        "background": ((False,), "keep the connection, or stream"),
        "context_management": (([],), "send the items that the model shall see"),
        "max_completion_tokens": ((), "send max_output_tokens"),
        "max_tokens": ((), "send max_output_tokens"),
        "messages": ((), "send input"),
        "moderation": ((), "moderate in front of this server"),
        "n": ((1,), "a response is one answer; chat completions take n"),
        "prompt": ((), "send instructions and input"),
        "response_format": ((), "send text.format"),
        "truncation": (("disabled",), "send less input, or start the server with a larger --ctx-size"),
    }
)

WITHOUT_EFFECT: Mapping[str, str] = MappingProxyType(
    {
        **BODY,
        "max_tool_calls": "it counts calls of tools that a cloud runs, and none is run here",
        "personality": "instructions say how to speak",
    }
)

ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
_INCLUDED = frozenset(
    {
        ENCRYPTED,
        LOGPROBS,
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)


class TextFormat(Shape):
    """What the text must look like; `name` and `schema` are there if and only if it is a schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")] | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    description: str | None = None
    strict: bool | None = None


class Text(Shape):
    """`verbosity` is ignored: how much a model says is its own affair."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ConversationName(Shape):
    """A conversation by its id."""

    id: str


class ResponsesRequest(SampledRequest):
    """The body of POST /v1/responses.

    `seed`, `top_k`, `min_p`, penalties, `stop` and `logit_bias` are as in chat completions, and so are this server's
    own: `call_bias`, `decisions`, `min_confidence`, `timeout`, `max_reasoning_tokens` and `chat_template_kwargs`.
    """

    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    max_reasoning_tokens: Bound | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    previous_response_id: Annotated[str, Field(min_length=1)] | None = None
    conversation: Annotated[str, Field(min_length=1)] | ConversationName | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    client_metadata: dict[str, Any] | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    prompt_cache_key: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    call_bias: Annotated[float, Field(ge=-100, le=100)] | None = None
    decisions: bool | None = None
    min_confidence: Probability | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation's id, in either form."""
        return self.conversation.id if isinstance(self.conversation, ConversationName) else self.conversation

    @property
    def n_top(self) -> int | None:
        """How many tokens are told in each token's place; None if none is told of any."""
        is_told = bool(self.top_logprobs) or LOGPROBS in (self.include or ())
        return (self.top_logprobs or 0) if is_told else None

    @property
    def thinking_wish(self) -> Thinking:
        """How the answer shall think."""
        reasoning = self.reasoning or Reasoning()
        bounds = (self.max_reasoning_tokens, reasoning.max_tokens)
        return read_thinking(
            effort=reasoning.effort,
            max_tokens=next((bound for bound in bounds if bound is not None), None),
            switches=(reasoning.enabled,),
        )


def read_request(body: Mapping[str, Any], ignored: IgnoredParameters) -> ResponsesRequest:
    """The validated fields of a body; items and tools still unchecked inside. What has no effect is added to `ignored`.

    Raises `RequestError` with `param` and a code, as `server.api.request.fields.validated` does.
    """
    request = validated_sampled(ResponsesRequest, ignored.without(body, "", WITHOUT_EFFECT), UNSUPPORTED)
    _check_format(request.text.format if request.text else None)
    _check_included(request.include or [], ignored)
    if request.conversation is not None and request.previous_response_id is not None:
        raise RequestError(
            "previous_response_id and conversation both say what came before; send one.",
            param="previous_response_id",
            code="invalid_value",
        )
    if request.text is not None and request.text.verbosity not in (None, "medium"):
        ignored.add("text.verbosity", "how much a model says is its own affair")
    if request.reasoning is not None:
        request.reasoning.note_rest(ignored)
    return request


def _check_format(form: TextFormat | None) -> None:
    if form is None:
        return
    for name, value in (("name", form.name), ("schema", form.schema_)):
        if (form.type == "json_schema") != (value is not None):
            raise RequestError(
                f"text.format.{name} must be given with the type 'json_schema', and only with it.",
                param=f"text.format.{name}",
                code="invalid_value",
            )


def _check_included(include: list[str], ignored: IgnoredParameters) -> None:
    for i, name in enumerate(include):
        if name not in _INCLUDED:
            raise invalid(f"include[{i}]", f"{name!r} is none of: {', '.join(sorted(_INCLUDED))}")
        if name not in (ENCRYPTED, LOGPROBS):
            ignored.add(f"include[{i}]", f"nothing has {name!r} here")
