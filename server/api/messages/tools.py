"""The tools of a body and the choice among them, in the shape that the chat service knows.

Knows Anthropic's wire forms. Tools that only Anthropic's own models or machines know are left out, and named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.api.request.fields import invalid, missing, only
from server.api.request.ignored import HOSTED_TOOL
from server.api.request.tools import Choice, named_choice, read_function, refuse_same_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.api.request.ignored import IgnoredParameters

_ADVISOR = re.compile(r"advisor(_.*)?")
_MODES = {"auto": "auto", "any": "required", "none": "none"}


@dataclass(frozen=True, slots=True)
class Offered:
    """The tools that are shown to the model, the client's places of them, and those that must be enforced by name."""

    tools: tuple[dict[str, Any], ...] = ()
    places: tuple[str, ...] = ()
    strict: frozenset[str] = frozenset()


def read_tools(tools: Sequence[Mapping[str, Any]] | None, ignored: IgnoredParameters) -> Offered:
    """The tools. What decorates one is left out, and so is a tool that a cloud runs: both are added to `ignored`.

    Raises `RequestError` for shapes and names that cannot be used, and for a name that is used twice.
    """
    read = {f"tools[{i}]": _tool(tool, f"tools[{i}]", ignored) for i, tool in enumerate(tools or ())}
    kept = {at: tool for at, tool in read.items() if tool is not None}
    refuse_same_names({f"{at}.name": tool["function"]["name"] for at, tool in kept.items()})
    given = {f"tools[{i}]": tool for i, tool in enumerate(tools or ())}
    strict = frozenset(tool["function"]["name"] for at, tool in kept.items() if given[at].get("strict") is True)
    return Offered(tuple(kept.values()), tuple(kept), strict)


def read_tool_choice(choice: Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]]) -> tuple[Choice, bool]:
    """The choice, and whether there may be several calls.

    None is auto with tools and none without, where auto and none ask for nothing. Raises `RequestError` for any other
    choice without tools, an unknown form, and a tool that is not offered.
    """
    if choice is None:
        return Choice("auto" if tools else "none"), True
    kind = choice.get("type")
    if kind not in (*_MODES, "tool"):
        raise invalid("tool_choice.type", f"{kind!r} is none of: {', '.join(_MODES)}, tool")
    only(choice, "tool_choice", {"type", "disable_parallel_tool_use"} | ({"name"} if kind == "tool" else set()))
    is_single = choice.get("disable_parallel_tool_use")
    if is_single not in (None, True, False):
        raise invalid("tool_choice.disable_parallel_tool_use", "expected a boolean", code="invalid_type")
    if not tools:
        if kind in ("any", "tool"):
            raise invalid("tool_choice", f"{kind!r} needs tools, and none is offered that can be called")
        return Choice("none"), True
    if kind == "tool":
        if choice.get("name") is None:
            raise missing("tool_choice.name")
        return Choice(named_choice(choice["name"], tools, "tool_choice.name")), not is_single
    return Choice(_MODES[str(kind)]), not is_single


def _tool(tool: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> dict[str, Any] | None:
    kind = tool.get("type")
    if isinstance(kind, str) and (HOSTED_TOOL.fullmatch(kind) or _ADVISOR.fullmatch(kind)):
        ignored.hosted_tool(at, kind)
        return None
    if kind not in (None, "custom"):
        raise invalid(f"{at}.type", f"{kind!r} is not supported; only 'custom' is")
    schema = tool.get("input_schema")
    if schema is None:
        raise missing(f"{at}.input_schema")
    if not isinstance(schema, dict):
        raise invalid(f"{at}.input_schema", "expected an object", code="invalid_type")
    function = {name: value for name, value in tool.items() if name not in {"type", "input_schema", "cache_control"}}
    if "parameters" in function:
        raise invalid(f"{at}.parameters", "the schema of a tool is its input_schema", code="unknown_parameter")
    return {"type": "function", "function": read_function({**function, "parameters": schema}, at, ignored)}
