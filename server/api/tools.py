"""The tools of a request and the choice among them: shapes checked, every refusal with the place in `param`.

Knows OpenAI's wire forms. Whether a schema can be enforced is found out later, where grammars are made.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# OpenAI's pattern and the dot: function names of real libraries have it, "math.gcd" for example.
TOOL_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")

# Built into some families, switched on by naming them; they take no parameters.
FAMILY_TOOLS = ({"type": "code_interpreter"}, {"type": "reasoning"})

_MODES = ("none", "auto", "required")


def read_tools(tools: Sequence[Mapping[str, Any]] | None) -> tuple[dict[str, Any], ...]:
    """The tools in OpenAI's shape, without `strict` (it would show in the prompt) and without nulls.

    Raises `RequestError` for shapes and names that cannot be used, and for a name that is used twice.
    """
    read = tuple(_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools or ()))
    seen: set[str] = set()
    for i, name in enumerate(tool.get("function", {}).get("name") for tool in read):
        if name in seen:
            raise _invalid(f"tools[{i}].function.name", f"another tool is called {name!r} already")
        if name is not None:
            seen.add(name)
    return read


def strict_names(tools: Sequence[Mapping[str, Any]] | None) -> frozenset[str]:
    """The names of the tools whose schema must be enforced; call `read_tools` first."""
    functions = [tool.get("function") or {} for tool in tools or ()]
    return frozenset(function["name"] for function in functions if function.get("strict") is True)


def read_tool_choice(
    choice: str | Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]]
) -> str | dict[str, Any]:
    """The choice; None is "auto" with tools and "none" without.

    Raises `RequestError` for a choice without tools, an unknown form, and a tool that is not offered.
    """
    if choice is None:
        return "auto" if tools else "none"
    if not tools:
        raise _invalid("tool_choice", "it is only allowed with tools")
    if isinstance(choice, str):
        if choice not in _MODES:
            raise _invalid("tool_choice", f"{choice!r} is none of: {', '.join(_MODES)}, or an object")
        return choice
    if choice.get("type") != "function":
        raise _invalid("tool_choice", f"the type {choice.get('type')!r} is not supported; only 'function' is")
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    offered = [tool["function"]["name"] for tool in tools if tool["type"] == "function"]
    if not isinstance(name, str) or name not in offered:
        raise _invalid("tool_choice", f"{name!r} is none of the tools: {', '.join(offered)}")
    return {"type": "function", "function": {"name": name}}


def _tool(tool: Mapping[str, Any], at: str) -> dict[str, Any]:
    if tool in FAMILY_TOOLS:
        return dict(tool)
    if tool.get("type") != "function":
        raise _invalid(f"{at}.type", f"{tool.get('type')!r} is not supported; only 'function' is")
    function = tool.get("function")
    if not isinstance(function, dict):
        raise _invalid(f"{at}.function", "expected an object", code="invalid_type")
    for name in tool:
        if name not in {"type", "function"}:
            raise _unknown(f"{at}.{name}")
    return {"type": "function", "function": _function(function, f"{at}.function")}


def _function(function: Mapping[str, Any], at: str) -> dict[str, Any]:
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
