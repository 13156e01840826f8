"""A validated body becomes the `ChatRequest` that the chat service is asked.

Knows no web framework: what a body renders to can be asked without a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.api.chat.functions import read_functions
from server.api.chat.messages import read_messages
from server.api.chat.schemas import JsonSchema, thinking_wish
from server.api.chat.tools import input_formats, read_tool_choice, read_tools, strict_names
from server.api.request.ignored import IgnoredParameters
from server.api.request.sampling import one_of, read_sampling
from server.api.request.tools import Choice, read_min_confidence
from server.chat.request import ChatRequest, Logprobs
from server.engine.types import ServiceTerms
from server.errors import RequestError

if TYPE_CHECKING:
    from server.api.chat.schemas import ChatCompletionRequest


def to_chat_request(
    wanted: ChatCompletionRequest, n_vocab: int, terms: ServiceTerms, ignored: IgnoredParameters | None = None
) -> ChatRequest:
    """What the chat service is asked for; what says nothing to the model is left out, and added to `ignored`.

    Raises `RequestError` for wrong messages, tools and token ids.
    """
    ignored = IgnoredParameters() if ignored is None else ignored
    tools, choice = _tools(wanted, ignored)
    return ChatRequest(
        messages=read_messages(wanted.messages, ignored),
        tools=tools,
        tool_choice=choice.mode,
        allowed_tools=choice.allowed,
        # An answer to `functions` has room for one call.
        parallel_tool_calls=wanted.parallel_tool_calls is not False and not wanted.functions,
        response_format=_response_format(wanted),
        sampling=read_sampling(wanted, n_vocab),
        max_tokens=one_of(wanted, "max_completion_tokens", "max_tokens"),
        stop=tuple(wanted.stop or ()),
        call_bias=wanted.call_bias,
        wants_decisions=bool(wanted.decisions),
        min_confidence=read_min_confidence(wanted.min_confidence, choice),
        terms=terms,
        template_kwargs=wanted.chat_template_kwargs or {},
        thinking=thinking_wish(wanted),
        logprobs=_logprobs(wanted),
        prediction="" if wanted.prediction is None else wanted.prediction.text,
        input_formats={name: form for name, form in input_formats(wanted.tools).items() if form is not None},
        strict_tools=strict_names(wanted.tools or [{"function": function} for function in wanted.functions or ()]),
    )


def _tools(wanted: ChatCompletionRequest, ignored: IgnoredParameters) -> tuple[tuple[dict[str, Any], ...], Choice]:
    if wanted.functions:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            if getattr(wanted, name) is not None:
                raise _obsolete_beside("functions", name)
        return read_functions(wanted.functions, wanted.function_call)
    if wanted.function_call not in (None, "none"):
        if wanted.tools:
            raise _obsolete_beside("function_call", "tools")
        raise RequestError(
            "Invalid function_call: it is only allowed with functions.", param="function_call", code="invalid_value"
        )
    tools = read_tools(wanted.tools, ignored)
    return tools, read_tool_choice(wanted.tool_choice, tools)


def _logprobs(wanted: ChatCompletionRequest) -> Logprobs | None:
    return Logprobs(wanted.top_logprobs or 0, is_free=wanted.logprobs_mode == "raw") if wanted.logprobs else None


def _obsolete_beside(obsolete: str, name: str) -> RequestError:
    return RequestError(
        f"{obsolete} is obsolete and cannot be sent together with {name}; send tools and tool_choice alone.",
        param=obsolete,
        code="invalid_value",
    )


def _response_format(wanted: ChatCompletionRequest) -> dict[str, Any] | None:
    form = wanted.response_format
    if form is None:
        return None
    schema = form.json_schema if form.schema_ is None else JsonSchema.model_validate({"schema": form.schema_})
    if schema is None:
        return {"type": form.type}
    return {
        "type": "json_schema",
        "json_schema": {"name": schema.name, "schema": schema.schema_, "strict": schema.strict is True},
    }
