"""The tools of a request and the choice among them: shapes checked, every refusal with the place in `param`.

Knows OpenAI's wire forms. Whether a schema can be enforced is found out later, where grammars are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.api.request.custom import read_custom, read_format
from server.api.request.fields import invalid, only, unknown
from server.api.request.ignored import HOSTED_TOOL, TOOL, IgnoredParameters
from server.api.request.tools import Choice, named_choice, read_function, refuse_same_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.chat.request import InputFormat

# Built into some families, switched on by naming them; they take no parameters.
FAMILY_TOOLS = ({"type": "code_interpreter"}, {"type": "reasoning"})

_KINDS = ("function", "custom")
_MODES = ("none", "auto", "required")


def read_tools(
    tools: Sequence[Mapping[str, Any]] | None, ignored: IgnoredParameters | None = None
) -> tuple[dict[str, Any], ...]:
    """The tools in OpenAI's shape, without `strict` (it would show in the prompt) and without nulls.

    Tools that a cloud runs are left out, and what decorates a tool: both are added to `ignored`.
    Raises `RequestError` for shapes and names that cannot be used, and for a name that is used twice.
    """
    ignored = IgnoredParameters() if ignored is None else ignored
    read = {f"tools[{i}]": _tool(tool, f"tools[{i}]", ignored) for i, tool in enumerate(tools or ())}
    kept = {at: tool for at, tool in read.items() if tool is not None}
    refuse_same_names({f"{at}.function.name": tool.get("function", {}).get("name") for at, tool in kept.items()})
    return tuple(kept.values())


def strict_names(tools: Sequence[Mapping[str, Any]] | None) -> frozenset[str]:
    """The names of the tools whose schema must be enforced; call `read_tools` first."""
    functions = [tool.get("function") or {} for tool in tools or ()]
    return frozenset(function["name"] for function in functions if function.get("strict") is True)


def input_formats(tools: Sequence[Mapping[str, Any]] | None) -> dict[str, InputFormat | None]:
    """The custom tools by name, with what their input must look like; call `read_tools` first."""
    custom = {i: tool["custom"] for i, tool in enumerate(tools or ()) if tool.get("type") == "custom"}
    return {tool["name"]: read_format(tool, f"tools[{i}].custom") for i, tool in custom.items()}


def read_tool_choice(choice: str | Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]]) -> Choice:
    """The choice; None is "auto" with tools and "none" without.

    Without tools "auto" and "none" ask for nothing. Raises `RequestError` for any other choice without tools, an
    unknown form, and a tool that is not offered.
    """
    if choice is None or (not tools and choice in ("auto", "none")):
        return Choice("auto" if tools else "none")
    if not tools:
        raise invalid("tool_choice", f"{choice!r} needs tools, and none is offered that can be called")
    if isinstance(choice, str):
        if choice not in _MODES:
            raise invalid("tool_choice", f"{choice!r} is none of: {', '.join(_MODES)}, or an object")
        return Choice(choice)
    kind = choice.get("type")
    if kind == "allowed_tools":
        return _allowed_tools(choice.get("allowed_tools"), tools)
    if kind not in _KINDS:
        raise invalid(
            "tool_choice", f"the type {kind!r} is not supported; only 'function', 'custom' and 'allowed_tools' are"
        )
    return Choice(named_choice(_name_in(choice), tools, "tool_choice"))


def _allowed_tools(allowed: Any, tools: Sequence[Mapping[str, Any]]) -> Choice:
    at = "tool_choice.allowed_tools"
    if not isinstance(allowed, dict):
        raise invalid(at, "expected an object with a mode and tools", code="invalid_type")
    for name in allowed:
        if name not in {"mode", "tools"}:
            raise unknown(f"{at}.{name}")
    mode, entries = allowed.get("mode"), allowed.get("tools")
    if mode not in ("auto", "required"):
        raise invalid(f"{at}.mode", f"{mode!r} is none of: auto, required")
    if not isinstance(entries, list) or not entries:
        raise invalid(f"{at}.tools", "expected a non-empty array; to allow none, set tool_choice to 'none'")
    names = [_allowed_name(entry, tools, f"{at}.tools[{i}]") for i, entry in enumerate(entries)]
    return Choice(mode, frozenset(names))


def _allowed_name(entry: Any, tools: Sequence[Mapping[str, Any]], at: str) -> str:
    if not isinstance(entry, dict) or entry.get("type") not in _KINDS:
        raise invalid(at, "expected an object of the type 'function' or 'custom'")
    name: str = named_choice(_name_in(entry), tools, f"{at}.{entry['type']}.name")["function"]["name"]
    return name


def _name_in(holder: Mapping[str, Any]) -> Any:
    named = holder.get(holder["type"])
    return named.get("name") if isinstance(named, dict) else None


def _custom(tool: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> dict[str, Any]:
    only(tool, at, {"type", "custom"})
    custom = tool.get("custom")
    if not isinstance(custom, dict):
        raise invalid(f"{at}.custom", "expected an object", code="invalid_type")
    return {"type": "function", "function": read_custom(custom, f"{at}.custom", ignored)}


def _tool(tool: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> dict[str, Any] | None:
    if tool in FAMILY_TOOLS:
        return dict(tool)
    kind = tool.get("type")
    if kind == "custom":
        return _custom(ignored.without(tool, at, TOOL), at, ignored)
    if isinstance(kind, str) and HOSTED_TOOL.fullmatch(kind):
        ignored.hosted_tool(at, kind)
        return None
    tool = ignored.without(tool, at, TOOL)
    if tool.get("type") != "function":
        raise invalid(f"{at}.type", f"{tool.get('type')!r} is not supported; only 'function' and 'custom' are")
    function = tool.get("function")
    if not isinstance(function, dict):
        raise invalid(f"{at}.function", "expected an object", code="invalid_type")
    for name in tool:
        if name not in {"type", "function"}:
            raise unknown(f"{at}.{name}")
    return {"type": "function", "function": read_function(function, f"{at}.function", ignored)}
