"""A validated body and what came before it become the `ChatRequest` that the chat service is asked.

Knows no web framework and no store: what came before is given as items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.api.request.fields import invalid, missing
from server.api.request.sampling import read_sampling
from server.api.request.tools import read_min_confidence
from server.api.responses.items import Placed, read_items
from server.api.responses.places import MessagePlace, Places
from server.api.responses.tools import Tools, read_tool_choice, read_tools
from server.chat.request import ChatRequest, Logprobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.api.request.ignored import IgnoredParameters
    from server.api.responses.schemas import ResponsesRequest, TextFormat
    from server.engine.types import ServiceTerms


@dataclass(frozen=True, slots=True)
class Asked:
    """What the chat service is asked, with the tools by their shown names and the places of everything."""

    chat: ChatRequest
    tools: Tools
    places: Places


def to_chat_request(
    wanted: ResponsesRequest,
    placed: Sequence[Placed],
    n_vocab: int,
    terms: ServiceTerms,
    ignored: IgnoredParameters,
) -> Asked:
    """What the chat service is asked for: instructions, then the items of the conversation, `placed`.

    What says nothing to the model is left out. Instructions of earlier responses are not carried over. Raises
    `RequestError` for wrong items, tools and token ids.
    """
    tools = read_tools(wanted.tools, ignored)
    choice = read_tool_choice(wanted.tool_choice, tools, ignored)
    if not placed and wanted.input is None:
        raise missing("input")
    instructions: list[Placed] = []
    if wanted.instructions:
        instructions.append(("instructions", {"role": "system", "content": wanted.instructions}))
    messages = read_items([*instructions, *placed], ignored)
    if not messages:
        raise invalid("input", "it is empty; send at least one item")
    chat = ChatRequest(
        messages=tuple(message for message, _ in messages),
        tools=tools.shown,
        tool_choice=choice.mode,
        allowed_tools=choice.allowed,
        parallel_tool_calls=wanted.parallel_tool_calls is not False,
        response_format=_response_format(wanted.text.format if wanted.text else None),
        sampling=read_sampling(wanted, n_vocab),
        max_tokens=wanted.max_output_tokens,
        stop=tuple(wanted.stop or ()),
        call_bias=wanted.call_bias,
        wants_decisions=bool(wanted.decisions),
        min_confidence=read_min_confidence(wanted.min_confidence, choice),
        terms=terms,
        template_kwargs=wanted.chat_template_kwargs or {},
        thinking=wanted.thinking_wish,
        logprobs=None if wanted.n_top is None else Logprobs(wanted.n_top),
        input_formats={name: tool.form for name, tool in tools.offered.items() if tool.form is not None},
        strict_tools=frozenset(name for name, tool in tools.offered.items() if tool.is_strict),
    )
    return Asked(chat, tools, _places([place for _, place in messages], tools))


def _places(messages: Sequence[MessagePlace], tools: Tools) -> Places:
    return Places(tuple(messages), tuple(tool.at for tool in tools.offered.values()))


def _response_format(form: TextFormat | None) -> dict[str, Any] | None:
    if form is None:
        return None
    if form.type != "json_schema":
        return {"type": form.type}
    return {
        "type": form.type,
        "json_schema": {"name": form.name, "schema": form.schema_, "strict": form.strict is True},
    }
