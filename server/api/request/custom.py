"""Custom tools: a name and one text, which models are shown as a function with one string, `input`.

Knows OpenAI's custom tools without what a dialect wraps them in. The law: what a client gets as the input is the text
that the model wrote in the string, piece by piece or at once.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from server.api.request.fields import invalid, missing, only, text
from server.api.request.tools import read_function
from server.chat.request import InputFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.api.request.ignored import IgnoredParameters

INPUT = "input"

_SYNTAXES = ("lark", "regex")
_BEFORE = re.compile(rf'\s*\{{\s*"{INPUT}"\s*:\s*"')
# Whole characters of a JSON string. The first half of a pair waits for what follows it.
_CHARACTERS = re.compile(
    r"""(?: [^"\\]
          | \\[^u]
          | \\u(?![dD][89abAB])[0-9a-fA-F]{4}
          | \\u[dD][89abAB][0-9a-fA-F]{2}
            (?: \\u[dD][c-fC-F][0-9a-fA-F]{2} | (?= [^\\] | \\[^u] | \\u[^dD] | \\u[dD][^c-fC-F] ) )
        )*""",
    re.DOTALL | re.VERBOSE,
)


def read_custom(custom: Mapping[str, Any], at: str, ignored: IgnoredParameters | None = None) -> dict[str, Any]:
    """The function that models are shown for a custom tool, whose fields stand at `at`. Raises `RequestError`.

    Its format is checked, and not in the function: see `read_format`.
    """
    read_format(custom, at)
    described = {name: value for name, value in custom.items() if name != "format"}
    only(described, at, {"name", "description", "defer_loading"})
    field = {"type": "object", "properties": {INPUT: {"type": "string"}}, "required": [INPUT]}
    return read_function({**described, "parameters": {**field, "additionalProperties": False}}, at, ignored)


def read_format(custom: Mapping[str, Any], at: str) -> InputFormat | None:
    """What the input of a custom tool must look like; None for any text. Raises `RequestError`."""
    form = custom.get("format")
    at = f"{at}.format"
    if form is None:
        return None
    if not isinstance(form, dict):
        raise invalid(at, "expected an object with a type", code="invalid_type")
    if form.get("type") == "text":
        only(form, at, {"type"})
        return None
    if form.get("type") != "grammar":
        raise invalid(f"{at}.type", f"{form.get('type')!r} is none of: text, grammar")
    inner, place = form, at
    if "grammar" in form:  # chat completions wrap the syntax and the definition once more
        only(form, at, {"type", "grammar"})
        inner, place = form["grammar"], f"{at}.grammar"
        if not isinstance(inner, dict):
            raise invalid(place, "expected an object with a syntax and a definition", code="invalid_type")
    only(inner, place, {"type", "syntax", "definition"})
    if "syntax" not in inner:
        raise missing(f"{place}.syntax")
    if inner["syntax"] not in _SYNTAXES:
        raise invalid(f"{place}.syntax", f"{inner['syntax']!r} is none of: {', '.join(_SYNTAXES)}")
    return InputFormat(inner["syntax"], text(inner, "definition", place), f"{place}.definition")


def arguments_of(written: str) -> str:
    """The arguments of a call of a custom tool in a history, by its input."""
    return json.dumps({INPUT: written}, ensure_ascii=False)


class InputText:
    """The input of one call as its arguments come. What is no object with one string gives nothing."""

    def __init__(self) -> None:
        self._left = ""
        self._is_inside = False
        self._is_over = False

    def feed(self, arguments: str) -> str:
        """The text that one more piece of the arguments adds."""
        self._left += arguments
        if self._is_over:
            return ""
        if not self._is_inside:
            found = _BEFORE.match(self._left)
            if found is None:
                return ""
            self._is_inside, self._left = True, self._left[found.end() :]
        whole = _CHARACTERS.match(self._left)
        written = "" if whole is None else whole[0]
        self._left = self._left[len(written) :]
        self._is_over = self._left.startswith('"')
        told: str = json.loads(f'"{written}"', strict=False)
        # Half a pair is no character: it could not be sent.
        return told.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def input_of(arguments: str) -> str:
    """The input of a whole call."""
    return InputText().feed(arguments)
