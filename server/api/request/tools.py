"""Functions as every dialect describes them, and what a request wants of them.

Knows a function's fields, not in what a dialect wraps them. The law: every refusal has the place in `param`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.api.request.fields import invalid, missing, unknown
from server.api.request.ignored import TOOL, IgnoredParameters
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What MCP allows: OpenAI's letters, and the dots and slashes of real libraries and servers, "math.gcd" for example.
TOOL_NAME = re.compile(r"[a-zA-Z0-9_./-]{1,128}")


@dataclass(frozen=True, slots=True)
class Choice:
    """What a request wants of its tools.

    `mode` is "none", "auto", "required" or `{"type": "function", "function": {"name": …}}`. `allowed` are the names
    that may be called, None for all that are offered.
    """

    mode: str | dict[str, Any]
    allowed: frozenset[str] | None = None


def refuse_same_names(names: Mapping[str, str | None]) -> None:
    """Raises `RequestError` for a name that an earlier place has too. `names` is by place; None is no name."""
    seen: set[str] = set()
    for place, name in names.items():
        if name in seen:
            raise invalid(place, f"another one is called {name!r} already")
        if name is not None:
            seen.add(name)


def read_min_confidence(least: float | None, choice: Choice) -> float | None:
    """How sure a call must be to be made. Raises `RequestError` where a call is forced."""
    if least is not None and choice.mode not in ("auto", "none"):
        raise RequestError(
            "min_confidence is only allowed with the tool_choice 'auto': where a call is forced, it is made.",
            param="min_confidence",
            code="invalid_value",
        )
    return least


def named_choice(name: Any, tools: Sequence[Mapping[str, Any]], at: str) -> dict[str, Any]:
    """The choice of one tool by its name. Raises `RequestError` naming the place `at` if it is not offered."""
    offered = [tool["function"]["name"] for tool in tools if tool["type"] == "function"]
    if not isinstance(name, str) or name not in offered:
        raise invalid(at, f"{name!r} is not offered; there are: {', '.join(offered)}")
    return {"type": "function", "function": {"name": name}}


def read_function(function: Mapping[str, Any], at: str, ignored: IgnoredParameters | None = None) -> dict[str, Any]:
    """A function's description, checked, without `strict`, nulls and what decorates it. Raises `RequestError`."""
    if ignored is not None:
        function = ignored.without(function, at, TOOL - {"strict"})
    kinds = {"name": str, "description": str, "parameters": dict, "strict": bool}
    given = {name: value for name, value in function.items() if value is not None}
    for name, value in given.items():
        if name not in kinds:
            raise unknown(f"{at}.{name}")
        if not isinstance(value, kinds[name]):
            word = {str: "a string", dict: "an object", bool: "a boolean"}[kinds[name]]
            raise invalid(f"{at}.{name}", f"expected {word}", code="invalid_type")
    if "name" not in given:
        raise missing(f"{at}.name")
    if TOOL_NAME.fullmatch(given["name"]) is None:
        raise invalid(f"{at}.name", f"{given['name']!r} does not match {TOOL_NAME.pattern}")
    return {name: value for name, value in given.items() if name != "strict"}
