"""How a request's answer may think: its wish as variables of the family's template, or as a bound that is forced.

Knows requests and families; no text and no token. Law: a template that has a word for a wish is told it, and then
nothing is forced but what the client bounded in tokens itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from chat_templates import Family
from chat_templates.thought import Thought
from server.chat.request import ChatRequest, Effort

EFFORT_TOKENS: Mapping[Effort, int] = MappingProxyType({"minimal": 128, "low": 512, "medium": 2048, "high": 8192})
"""The bound of a thought by its effort. More than high is no bound."""


def template_variables(request: ChatRequest, family: Family) -> Mapping[str, Any]:
    """What the request says of the template's own variables."""
    effort = family.efforts.get(request.thinking.effort or "", {})
    return {**({} if request.thinking.is_on else family.without_thinking), **effort, **request.template_kwargs}


def thought_of(request: ChatRequest, family: Family) -> Thought:
    """How the answer may think."""
    wish, bound = request.thinking, request.thinking.max_tokens
    if bound is None and wish.effort is not None and not family.efforts:
        bound = EFFORT_TOKENS.get(wish.effort)
    return family.thought(template_variables(request, family), thinks=wish.is_on, max_tokens=bound)
