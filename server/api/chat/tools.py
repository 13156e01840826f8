"""The tools of a request and the choice among them: shapes checked, every refusal with the place in `param`.

Knows OpenAI's wire forms. Whether a schema can be enforced is found out later, where grammars are made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.api.ignored import HOSTED_TOOL, TOOL, IgnoredParameters
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What MCP allows: OpenAI's letters, and the dots and slashes of real libraries and servers, "math.gcd" for example.
TOOL_NAME = re.compile(r"[a-zA-Z0-9_./-]{1,128}")

# Built into some families, switched on by naming them; they take no parameters.
FAMILY_TOOLS = ({"type": "code_interpreter"}, {"type": "reasoning"})

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


def refuse_same_names(names: Mapping[str, str | None]) -> None:
    """Raises `RequestError` for a name that an earlier place has too. `names` is by place; None is no name."""
    seen: set[str] = set()
    for place, name in names.items():
        if name in seen:
            raise _invalid(place, f"another one is called {name!r} already")
        if name is not None:
            seen.add(name)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a request wants of its tools.

    `mode` is "none", "auto", "required" or `{"type": "function", "function": {"name": …}}`. `allowed` are the names
    that may be called, None for all that are offered.
    """

    mode: str | dict[str, Any]
    allowed: frozenset[str] | None = None


def strict_names(tools: Sequence[Mapping[str, Any]] | None) -> frozenset[str]:
    """The names of the tools whose schema must be enforced; call `read_tools` first."""
    functions = [tool.get("function") or {} for tool in tools or ()]
    return frozenset(function["name"] for function in functions if function.get("strict") is True)


def read_tool_choice(choice: str | Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]]) -> Choice:
    """The choice; None is "auto" with tools and "none" without.

    Without tools "auto" and "none" ask for nothing. Raises `RequestError` for any other choice without tools, an
    unknown form, and a tool that is not offered.
    """
    if choice is None or (not tools and choice in ("auto", "none")):
        return Choice("auto" if tools else "none")
    if not tools:
        raise _invalid("tool_choice", f"{choice!r} needs tools, and none is offered that can be called")
    if isinstance(choice, str):
        if choice not in _MODES:
            raise _invalid("tool_choice", f"{choice!r} is none of: {', '.join(_MODES)}, or an object")
        return Choice(choice)
    kind = choice.get("type")
    if kind == "allowed_tools":
        return _allowed_tools(choice.get("allowed_tools"), tools)
    if kind != "function":
        raise _invalid("tool_choice", f"the type {kind!r} is not supported; only 'function' and 'allowed_tools' are")
    return Choice(named_choice(_name_in(choice), tools, "tool_choice"))


def _allowed_tools(allowed: Any, tools: Sequence[Mapping[str, Any]]) -> Choice:
    at = "tool_choice.allowed_tools"
    if not isinstance(allowed, dict):
        raise _invalid(at, "expected an object with a mode and tools", code="invalid_type")
    for name in allowed:
        if name not in {"mode", "tools"}:
            raise _unknown(f"{at}.{name}")
    mode, entries = allowed.get("mode"), allowed.get("tools")
    if mode not in ("auto", "required"):
        raise _invalid(f"{at}.mode", f"{mode!r} is none of: auto, required")
    if not isinstance(entries, list) or not entries:
        raise _invalid(f"{at}.tools", "expected a non-empty array; to allow none, set tool_choice to 'none'")
    names = [_allowed_name(entry, tools, f"{at}.tools[{i}]") for i, entry in enumerate(entries)]
    return Choice(mode, frozenset(names))


def _allowed_name(entry: Any, tools: Sequence[Mapping[str, Any]], at: str) -> str:
    if not isinstance(entry, dict) or entry.get("type") != "function":
        raise _invalid(at, "expected an object of the type 'function'")
    name: str = named_choice(_name_in(entry), tools, f"{at}.function.name")["function"]["name"]
    return name


def _name_in(holder: Mapping[str, Any]) -> Any:
    function = holder.get("function")
    return function.get("name") if isinstance(function, dict) else None


def named_choice(name: Any, tools: Sequence[Mapping[str, Any]], at: str) -> dict[str, Any]:
    """The choice of one tool by its name. Raises `RequestError` naming the place `at` if it is not offered."""
    offered = [tool["function"]["name"] for tool in tools if tool["type"] == "function"]
    if not isinstance(name, str) or name not in offered:
        raise _invalid(at, f"{name!r} is not offered; there are: {', '.join(offered)}")
    return {"type": "function", "function": {"name": name}}


def _tool(tool: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> dict[str, Any] | None:
    if tool in FAMILY_TOOLS:
        return dict(tool)
    kind = tool.get("type")
    if isinstance(kind, str) and HOSTED_TOOL.fullmatch(kind):
        ignored.add(at, f"tools of the type {kind!r} are run by a cloud; offer a function to do it yourself")
        return None
    tool = ignored.without(tool, at, TOOL)
    if tool.get("type") != "function":
        raise _invalid(f"{at}.type", f"{tool.get('type')!r} is not supported; only 'function' is")
    function = tool.get("function")
    if not isinstance(function, dict):
        raise _invalid(f"{at}.function", "expected an object", code="invalid_type")
    for name in tool:
        if name not in {"type", "function"}:
            raise _unknown(f"{at}.{name}")
    return {"type": "function", "function": read_function(function, f"{at}.function", ignored)}


def read_function(function: Mapping[str, Any], at: str, ignored: IgnoredParameters | None = None) -> dict[str, Any]:
    """A function's description, checked, without `strict`, nulls and what decorates it. Raises `RequestError`."""
    if ignored is not None:
        function = ignored.without(function, at, TOOL - {"strict"})
    kinds = {"name": str, "description": str, "parameters": dict, "strict": bool}
    given = {name: value for name, value in function.items() if value is not None}
    for name, value in given.items():
        if name not in kinds:
            raise _unknown(f"{at}.{name}")
        if not isinstance(value, kinds[name]):
            word = {str: "a string", dict: "an object", bool: "a boolean"}[kinds[name]]
            raise _invalid(f"{at}.{name}", f"expected {word}", code="invalid_type")
    if "name" not in given:
        raise RequestError(
            f"Missing required parameter: '{at}.name'.", param=f"{at}.name", code="missing_required_parameter"
        )
    if TOOL_NAME.fullmatch(given["name"]) is None:
        raise _invalid(f"{at}.name", f"{given['name']!r} does not match {TOOL_NAME.pattern}")
    return {name: value for name, value in given.items() if name != "strict"}


def _unknown(param: str) -> RequestError:
    return RequestError(f"Unknown parameter: {param!r}.", param=param, code="unknown_parameter")


def _invalid(param: str, reason: str, *, code: str = "invalid_value") -> RequestError:
    return RequestError(f"Invalid {param}: {reason}.", param=param, code=code)
