"""The fields of requests: what each may hold, what is ignored, what is refused by name.

Knows OpenAI's wire names and llama.cpp's extras. Messages and tools, whose shapes depend on each other, are
checked in `server.api.chat.messages` and `server.api.chat.tools`. The law: a parameter is honoured, documented as
ignored, or refused by name; none is dropped silently. Of the ignored ones a text completion knows `user` and
`stream_options` only.

What belongs to other servers' dialects is accepted and named in the answer's warnings: see
`server.api.request.ignored`. Of OpenAI's own, which are not named:

Accepted and ignored:

    user, safety_identifier           no abuse monitoring here
    metadata, store                   nothing is stored
    service_tier                      there is one
    stream_options.include_obfuscation  no padding is sent
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from server.api.request.fields import Shape
from server.api.request.ignored import BODY, IgnoredParameters
from server.api.request.sampling import Probability, SampledRequest, validated_sampled
from server.api.request.thinking import Bound, EffortName, Reasoning, ThinkingSwitch, read_thinking, switched
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.chat.request import Thinking

IGNORED = frozenset({"user", "safety_identifier", "metadata", "store", "service_tier"})

# Parameters of OpenAI's API that are not served: the values that ask for nothing, and what to do instead.
# Null always asks for nothing.
UNSUPPORTED: Mapping[str, tuple[tuple[Any, ...], str]] = MappingProxyType(
    {
        "modalities": ((["text"],), "only text is generated"),
        "audio": ((), "only text is generated"),
        "moderation": ((), "moderate in front of this server"),
        # What other servers call the same, or what they constrain with: it would change the answer.
        "allowed_token_ids": ((), "send logit_bias"),
        "bad_words": (([],), "send logit_bias"),
        "chat_template": ((), "start the server with --chat-template gguf to use the model's own"),
        "continue_final_message": ((False,), "send the text so far to /v1/completions"),
        "documents": (([],), "put them into a message"),
        "format": (("",), "send response_format"),
        "grammar": (("",), "send response_format, or tools"),
        "guided_choice": ((), "send response_format with an enum"),
        "guided_grammar": ((), "send response_format"),
        "guided_json": ((), "send response_format"),
        "guided_regex": ((), "send response_format with a pattern"),
        "ignore_eos": ((False,), "the model decides when it has ended"),
        "json_schema": ((), "send response_format"),
        "min_tokens": ((0,), "the model decides when it has ended"),
        "stop_token_ids": (([],), "send stop"),
        "structured_outputs": ((), "send response_format"),
        "use_json_object": ((False,), "send response_format"),
    }
)


# The same as a response_format, where llama-server's and vLLM's clients have it.
_SCHEMAS = ("json_schema", "guided_json")

MAX_N = 8  # answers to one request


class JsonSchema(Shape):
    """A schema; with `strict` it is refused if it cannot be enforced, else the answer warns.

    OpenAI demands a name, which nobody reads; llama-server's clients send none.
    """

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")] = "response"
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Shape):
    """`json_schema` is there if and only if `type` says so. `schema` is llama-server's, in a `json_object`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None


class TextPart(Shape):
    """A part of a prediction."""

    type: Literal["text"]
    text: str


class Prediction(Shape):
    """Text that the answer will probably repeat."""

    type: Literal["content"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The whole text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatCompletionRequest(SampledRequest):
    """The body of POST /v1/chat/completions. `functions` and `function_call` are obsolete forms of the tools.

    `call_bias` is this server's own: positive makes calls likelier, negative less so. So are `decisions`, which has the
    answer tell how sure its decisions were, and `min_confidence`, below which a call is not made. `logprobs_mode` is
    vLLM's: "processed" probabilities are those under the grammar's mask (the default), "raw" ones without it. Under a
    `prompt_cache_key` the whole prompt is kept for the conversation's next turn, in memory for longer than others and
    on disk. `chat_template_kwargs` are variables of the model's template. A `reasoning_effort` of "none" keeps models
    from thinking, and so do OpenRouter's `reasoning`, Z.ai's `thinking` and DashScope's `enable_thinking`. Another
    effort and `max_reasoning_tokens` (this server's own; `thinking_budget` is DashScope's name for it, and
    `thinking_token_budget` vLLM's) bound a thought.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    n: Annotated[int, Field(ge=1, le=MAX_N)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    logprobs_mode: Literal["processed", "raw"] | None = None
    call_bias: Annotated[float, Field(ge=-100, le=100)] | None = None
    decisions: bool | None = None
    min_confidence: Probability | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: EffortName | None = None
    reasoning: Reasoning | None = None
    thinking: Annotated[ThinkingSwitch | None, BeforeValidator(switched)] = None
    enable_thinking: bool | None = None
    max_reasoning_tokens: Bound | None = None
    thinking_budget: Bound | None = None
    thinking_token_budget: Bound | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    prediction: Prediction | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: Annotated[str, Field(min_length=1, max_length=256)] | None = None


def read_request(body: Mapping[str, Any], ignored: IgnoredParameters | None = None) -> ChatCompletionRequest:
    """The validated fields of a chat completion's body; messages and tools still unchecked inside.

    What belongs to other servers' dialects is left out, and added to `ignored`.

    Raises `RequestError` with `param` and a code: `unsupported_parameter` for what OpenAI has and this server
    has not, `unknown_parameter` for what nobody has, `missing_required_parameter`, `invalid_value` or
    `invalid_type`.
    """
    ignored = IgnoredParameters() if ignored is None else ignored
    known = _with_response_format(ignored.without(body, "", BODY))
    request = validated_sampled(ChatCompletionRequest, known, UNSUPPORTED)
    form = request.response_format
    if form is not None and form.schema_ is not None and form.type != "json_object":
        raise RequestError(
            "response_format.schema is only allowed with the type 'json_object'; send json_schema.schema.",
            param="response_format.schema",
            code="invalid_value",
        )
    if form is not None and (form.type == "json_schema") != (form.json_schema is not None):
        raise RequestError(
            "response_format.json_schema must be given with the type 'json_schema', and only with it.",
            param="response_format.json_schema",
            code="invalid_value",
        )
    _check_logprobs(request)
    if (request.n or 1) > 1 and request.decisions:
        raise RequestError("decisions are told of one answer; send n 1.", param="decisions", code="invalid_value")
    if request.reasoning is not None:
        request.reasoning.note_rest(ignored)
    return request


def _with_response_format(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with the schema that stands beside the response format in it; beside another it is left, and refused."""
    name = next((name for name in _SCHEMAS if isinstance(body.get(name), dict)), None)
    if name is None or body.get("response_format") is not None:
        return body
    rest = {field: value for field, value in body.items() if field not in (name, "response_format")}
    return {**rest, "response_format": {"type": "json_object", "schema": body[name]}}


def decides(request: ChatCompletionRequest) -> bool:
    """Whether there is one answer, which may be a call or has to be JSON."""
    form = request.response_format
    decides = bool(request.tools or request.functions) or (form is not None and form.type != "text")
    return decides and (request.n or 1) == 1


def _check_logprobs(request: ChatCompletionRequest) -> None:
    for name in ("top_logprobs", "logprobs_mode"):
        if getattr(request, name) and not request.logprobs:
            raise RequestError(f"{name} is only allowed with logprobs: true.", param=name, code="invalid_value")


def thinking_wish(request: ChatCompletionRequest) -> Thinking:
    """How the answer shall think, by any of the names under which clients say so."""
    reasoning = request.reasoning or Reasoning()
    switch = request.thinking or ThinkingSwitch()
    bounds = (
        *(request.max_reasoning_tokens, request.thinking_budget, request.thinking_token_budget),
        *(reasoning.max_tokens, switch.budget_tokens),
    )
    return read_thinking(
        effort=request.reasoning_effort or reasoning.effort,
        max_tokens=next((bound for bound in bounds if bound is not None), None),
        switches=(request.enable_thinking, reasoning.enabled, switch.type != "disabled"),
    )
