"""Which tools a request shows, which may be called, and the grammar of its answer.

Knows a family and enforced schemas; compiles nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from chat_templates import Family
from chat_templates.thought import UNBOUNDED, Thought
from server.chat.request import ChatRequest
from server.chat.schemas.enforced import EnforcedSchemas


def write_grammar(
    request: ChatRequest,
    family: Family,
    schemas: EnforcedSchemas,
    *,
    special_tokens: Collection[str] | None = None,
    thought: Thought = UNBOUNDED,
) -> str | None:
    """The grammar of a request's answer, None if anything may be written; see `Family.grammar`."""
    return family.grammar(
        narrow(schemas.in_grammar(request.tools), request.allowed_tools),
        request.tool_choice,
        request.parallel_tool_calls,
        response_schema=schemas.response_schema,
        special_tokens=special_tokens,
        thought=thought,
    )


def narrow(tools: Sequence[Mapping[str, Any]], allowed: Collection[str] | None) -> tuple[Mapping[str, Any], ...]:
    """The tools with one of the allowed names, in their order; all of them if `allowed` is None."""
    if allowed is None:
        return tuple(tools)
    return tuple(tool for tool in tools if tool.get("function", {}).get("name") in allowed)


def offered_tools(request: ChatRequest) -> tuple[Mapping[str, Any], ...]:
    """The tools that the model is shown."""
    # With tool_choice "none" the model is not shown what it must not call; a narrower choice leaves the prompt, and
    # with it the cached prefix, as it is.
    return () if request.tool_choice == "none" else request.tools


def callable_tools(request: ChatRequest) -> tuple[Mapping[str, Any], ...]:
    """The tools that may be called."""
    return () if request.tool_choice == "none" else narrow(request.tools, request.allowed_tools)
