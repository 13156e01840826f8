"""A validated body becomes the `ChatRequest` that the chat service is asked, and the places of what is in it.

Knows no web framework: what a body renders to can be asked without a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.api.messages.history import read_history
from server.api.messages.places import Places
from server.api.messages.schemas import CountTokensBody, MessagesBody, output_format
from server.api.messages.tools import read_tool_choice, read_tools
from server.api.request.thinking import read_thinking
from server.api.request.tools import read_min_confidence
from server.chat.request import ChatRequest, Thinking
from server.engine.types import SamplingParams, ServiceTerms

if TYPE_CHECKING:
    from server.api.request.ignored import IgnoredParameters


def to_chat_request(
    wanted: CountTokensBody, terms: ServiceTerms, ignored: IgnoredParameters
) -> tuple[ChatRequest, Places]:
    """What the chat service is asked for; what says nothing to the model is left out, and added to `ignored`.

    Raises `RequestError` for wrong messages, tools and choices.
    """
    offered = read_tools(wanted.tools, ignored)
    choice, is_parallel = read_tool_choice(wanted.tool_choice, offered.tools)
    is_answered = isinstance(wanted, MessagesBody)
    said = read_history(wanted.system, wanted.messages, ignored, is_continued=is_answered)
    request = ChatRequest(
        messages=tuple(each.message for each in said),
        tools=offered.tools,
        tool_choice=choice.mode,
        parallel_tool_calls=is_parallel,
        response_format=_response_format(wanted),
        sampling=_sampling(wanted),
        # To evaluate a prompt and no more is to ask for one token that is not told.
        max_tokens=wanted.max_tokens or 1,
        stop=tuple(wanted.stop_sequences or ()),
        strict_tools=offered.strict,
        call_bias=wanted.call_bias,
        wants_decisions=bool(wanted.decisions),
        min_confidence=read_min_confidence(wanted.min_confidence, choice),
        terms=terms,
        template_kwargs=wanted.chat_template_kwargs or {},
        thinking=_thinking(wanted),
    )
    form = "output_format" if wanted.output_format else "output_config.format"
    return request, Places(tuple(each.place for each in said), offered.places, f"{form}.schema")


def _thinking(wanted: CountTokensBody) -> Thinking:
    given, effort = wanted.thinking, wanted.output_config.effort if wanted.output_config else None
    if given is None:
        return read_thinking(effort=effort, max_tokens=None)
    return read_thinking(effort=effort, max_tokens=given.budget_tokens, switches=(given.type != "disabled",))


def _sampling(wanted: CountTokensBody) -> SamplingParams:
    given: dict[str, Any] = {
        "temperature": wanted.temperature,
        "top_k": wanted.top_k,
        "top_p": wanted.top_p,
        "min_p": wanted.min_p,
        "seed": None if wanted.seed is None else wanted.seed % 2**64,
    }
    return SamplingParams(**{name: value for name, value in given.items() if value is not None})


def _response_format(wanted: CountTokensBody) -> dict[str, Any] | None:
    form = output_format(wanted)
    if form is None:
        return None
    return {"type": form.type, "json_schema": {"name": "output", "schema": form.schema_, "strict": True}}
