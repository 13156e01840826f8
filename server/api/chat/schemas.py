"""The fields of requests: what each may hold, what is ignored, what is refused by name.

Knows OpenAI's wire names and llama.cpp's extras. Messages and tools, whose shapes depend on each other, are
checked in `server.api.chat.messages` and `server.api.chat.tools`. The law: a parameter is honoured, documented as
ignored, or refused by name; none is dropped silently. Of the ignored ones a text completion knows `user` and
`stream_options` only.

What belongs to other servers' dialects is accepted and named in the answer's warnings: see `server.api.ignored`.
Of OpenAI's own, which are not named:

Accepted and ignored:

    user, safety_identifier           no abuse monitoring here
    metadata, store                   nothing is stored
    service_tier                      there is one
    stream_options.include_obfuscation  no padding is sent
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from server.api.ignored import BODY, IgnoredParameters
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

IGNORED = frozenset({"user", "safety_identifier", "metadata", "store", "service_tier"})

# Parameters of OpenAI's API that are not served: the values that ask for nothing, and what to do instead.
# Null always asks for nothing.
UNSUPPORTED: Mapping[str, tuple[tuple[Any, ...], str]] = MappingProxyType(
    {
        "n": ((1,), "send the request n times: the prompt is shared"),
        "logprobs": ((False,), "token probabilities are not returned"),
        "top_logprobs": ((0,), "token probabilities are not returned"),
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

# The same for text completions.
UNSUPPORTED_FOR_TEXT: Mapping[str, tuple[tuple[Any, ...], str]] = MappingProxyType(
    {
        "suffix": (("",), "only the end of a text is generated"),
        "logprobs": ((), "token probabilities are not returned"),
    }
)
MAX_N = 8  # answers to one prompt

Probability = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
StopString = Annotated[str, Field(min_length=1)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class _Shape(BaseModel):
    # Strict: "1" is not a number. Unknown fields are errors: a misspelt one must not be lost.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StreamOptions(_Shape):
    """`include_obfuscation` is ignored: nothing is padded."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class JsonSchema(_Shape):
    """A named schema; with `strict` it is refused if it cannot be enforced, else the answer warns."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(_Shape):
    """`json_schema` is there if and only if `type` says so."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class SampledRequest(_Shape):
    """What every kind of completion can be told. Defaults are OpenAI's: temperature 1, top_p 1, nothing else.

    `timeout` is this server's own: seconds after which the request is given up.
    """

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Annotated[list[StopString], Field(max_length=4), BeforeValidator(_listed)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**64 - 1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Probability | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    user: str | None = None
    timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None


class ChatCompletionRequest(SampledRequest):
    """The body of POST /v1/chat/completions. `functions` and `function_call` are obsolete forms of the tools.

    `call_bias` is this server's own: positive makes calls likelier, negative less so. So are `decisions`, which has the
    answer tell how sure its decisions were, and `min_confidence`, below which a call is not made. Under a
    `prompt_cache_key` the whole prompt is kept for the conversation's next turn, in memory for longer than others and
    on disk. `chat_template_kwargs` are variables of the model's template. A `reasoning_effort` of "none" keeps models
    from thinking that can be kept from it, and so do OpenRouter's `reasoning`, Z.ai's `thinking` and DashScope's
    `enable_thinking`; how long they think is not ours to say.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    call_bias: Annotated[float, Field(ge=-100, le=100)] | None = None
    decisions: bool | None = None
    min_confidence: Probability | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    reasoning: dict[str, Any] | None = None
    thinking: dict[str, Any] | bool | None = None
    enable_thinking: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: Annotated[str, Field(min_length=1, max_length=256)] | None = None


class CompletionRequestBody(SampledRequest):
    """The body of POST /v1/completions. A prompt is text or token ids; several are a list. 16 tokens by default."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: Annotated[int, Field(ge=1)] | None = 16
    n: Annotated[int, Field(ge=1, le=MAX_N)] | None = None
    best_of: int | None = None
    echo: bool | None = None


_Request = TypeVar("_Request", bound=SampledRequest)


def read_request(body: Mapping[str, Any], ignored: IgnoredParameters | None = None) -> ChatCompletionRequest:
    """The validated fields of a chat completion's body; messages and tools still unchecked inside.

    What belongs to other servers' dialects is left out, and added to `ignored`.

    Raises `RequestError` with `param` and a code: `unsupported_parameter` for what OpenAI has and this server
    has not, `unknown_parameter` for what nobody has, `missing_required_parameter`, `invalid_value` or
    `invalid_type`.
    """
    ignored = IgnoredParameters() if ignored is None else ignored
    request = _validated(ChatCompletionRequest, ignored.without(body, "", BODY), UNSUPPORTED)
    form = request.response_format
    if form is not None and (form.type == "json_schema") != (form.json_schema is not None):
        raise RequestError(
            "response_format.json_schema must be given with the type 'json_schema', and only with it.",
            param="response_format.json_schema",
            code="invalid_value",
        )
    _note_efforts(request, ignored)
    return request


def wants_thought(request: ChatCompletionRequest) -> bool:
    """Whether the model may think, by any of the four names under which clients say so."""
    reasoning, thinking = request.reasoning or {}, request.thinking
    return not (
        request.reasoning_effort == "none"
        or reasoning.get("effort") == "none"
        or reasoning.get("enabled") is False
        or request.enable_thinking is False
        or thinking is False
        or (isinstance(thinking, dict) and thinking.get("type") == "disabled")
    )


def _note_efforts(request: ChatCompletionRequest, ignored: IgnoredParameters) -> None:
    if not wants_thought(request):
        return
    for name in ("reasoning_effort", "reasoning", "thinking", "enable_thinking"):
        if getattr(request, name) not in (None, True):
            ignored.add(name, "how long a model thinks, if it thinks, is its own affair")


def read_completion_request(body: Mapping[str, Any]) -> CompletionRequestBody:
    """The validated fields of a text completion's body. Raises `RequestError` as `read_request` does."""
    request = _validated(CompletionRequestBody, body, UNSUPPORTED_FOR_TEXT)
    if request.best_of is not None and request.best_of != (request.n or 1):
        raise RequestError(
            f"best_of is {request.best_of} and n is {request.n or 1}; every answer is returned, so leave best_of out.",
            param="best_of",
            code="unsupported_parameter",
        )
    return request


def _validated(shape: type[_Request], body: Mapping[str, Any], unsupported: Mapping[str, Any]) -> _Request:
    _refuse_unsupported(body, unsupported)
    try:
        request = shape.model_validate({name: value for name, value in body.items() if name not in unsupported})
    except ValidationError as error:
        raise _refusal(error) from None
    if request.stream_options is not None and not request.stream:
        raise RequestError(
            "stream_options is only allowed with stream: true.", param="stream_options", code="invalid_value"
        )
    return request


def one_of(request: SampledRequest, first: str, second: str) -> Any:
    """The value of two names of one parameter, None if neither is given. Raises `RequestError` if both differ."""
    values = [value for name in (first, second) if (value := getattr(request, name)) is not None]
    if len(values) == 2 and values[0] != values[1]:
        raise RequestError(
            f"{first} is {values[0]} and {second} is {values[1]}, but they are two names of one parameter; send one.",
            param=first,
            code="invalid_value",
        )
    return values[0] if values else None


def _refuse_unsupported(body: Mapping[str, Any], unsupported: Mapping[str, tuple[tuple[Any, ...], str]]) -> None:
    for name, (neutral, instead) in unsupported.items():
        value = body.get(name)
        # Types are compared too, since True == 1 and False == 0.
        if value is None or any(value == other and type(value) is type(other) for other in neutral):
            continue
        raise RequestError(f"{name} is not supported here; {instead}.", param=name, code="unsupported_parameter")


def _refusal(error: ValidationError) -> RequestError:
    """OpenAI's error for the first thing that pydantic found."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = dotted(first["loc"])
    kind = first["type"]
    if kind == "extra_forbidden":
        return RequestError(f"Unknown parameter: {param!r}.", param=param, code="unknown_parameter")
    if kind == "missing":
        return RequestError(f"Missing required parameter: {param!r}.", param=param, code="missing_required_parameter")
    code = "invalid_type" if kind.endswith("_type") else "invalid_value"
    return RequestError(f"Invalid {param}: {first['msg']}.", param=param, code=code)


def dotted(location: tuple[int | str, ...]) -> str:
    """`("messages", 0, "content")` as `messages[0].content`."""
    if location[0] in ("tool_choice", "function_call", "prompt"):
        # One of several types: pydantic's location goes on with the name of a type, which no client knows.
        return str(location[0])
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")
