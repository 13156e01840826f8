"""The obsolete `functions` and `function_call`, translated at the door: tools on the way in, back on the way out.

Pure: JSON values in and out. Behind this module a request with functions is one with tools and a single call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from server.api.request.tools import Choice, named_choice, read_function, refuse_same_names
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def read_functions(
    functions: Sequence[Mapping[str, Any]], choice: str | Mapping[str, Any] | None
) -> tuple[tuple[dict[str, Any], ...], Choice]:
    """The functions as tools, and the choice among them: "none", "auto" or one by its name.

    Raises `RequestError` with the place in the obsolete fields.
    """
    read = [read_function(function, f"functions[{i}]") for i, function in enumerate(functions)]
    refuse_same_names({f"functions[{i}].name": function["name"] for i, function in enumerate(read)})
    tools = tuple({"type": "function", "function": function} for function in read)
    if choice is None:
        return tools, Choice("auto")
    if not isinstance(choice, str):
        return tools, Choice(named_choice(choice.get("name"), tools, "function_call"))
    if choice not in ("none", "auto"):
        raise RequestError(
            f"Invalid function_call: {choice!r} is none of: none, auto, or an object with a name.",
            param="function_call",
            code="invalid_value",
        )
    return tools, Choice(choice)


def of_functions(error: RequestError) -> RequestError:
    """A refusal of a request with functions: its place in the tools as the place in the functions."""
    place = re.fullmatch(r"tools\[(\d+)\]\.function(.*)", error.param or "")
    if place is None:
        return error
    param = f"functions[{place[1]}]{place[2]}"
    return RequestError(error.message.replace(place[0], param), param=param, code=error.code)


def with_function_call(completion: dict[str, Any]) -> dict[str, Any]:
    """A `chat.completion` as a request with functions gets it: the first call as `function_call`."""
    return {**completion, "choices": [_choice(choice, "message") for choice in completion["choices"]]}


def with_function_call_deltas(chunk: dict[str, Any]) -> dict[str, Any]:
    """A `chat.completion.chunk` likewise: the name in the first delta of the call, its arguments in those after it."""
    return {**chunk, "choices": [_choice(choice, "delta") for choice in chunk["choices"]]}


def _choice(choice: dict[str, Any], holder: str) -> dict[str, Any]:
    told = {name: value for name, value in choice[holder].items() if name != "tool_calls"}
    calls = [call for call in choice[holder].get("tool_calls", ()) if call.get("index", 0) == 0]
    if calls:
        told["function_call"] = calls[0]["function"]
    is_call = choice["finish_reason"] == "tool_calls"
    return {**choice, holder: told, "finish_reason": "function_call" if is_call else choice["finish_reason"]}
