"""Text after results that is no answer: nothing, a result printed as JSON again, or a call of no tool.

Knows texts; no message and no token. The law: text that begins in words passes at once, and so does JSON as soon as it
is neither a result's nor a call's: agents are asked for JSON, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

_FENCE = re.compile(r"\A\s*(```\w*\s*)?")
_TAGS = ("<tool", "</tool", "<|tool", "<|/tool")  # how families wrap results and calls
_CALL = '{"name":"'
_CALL_KEYS = ("arguments", "parameters")


class Echoes:
    """Tells of the beginning of an answer whether it may still be none. `results` are texts; JSON is known again."""

    def __init__(self, results: Iterable[str]) -> None:
        self._results = tuple(_squeezed(text) for text in results if _opens_json(text))

    def may_be(self, text: str) -> bool:
        """Whether text that goes on may still become no answer: it is held back as long."""
        body = _body(text)
        if body.startswith(_TAGS) or any(tag.startswith(body) for tag in _TAGS):
            return True
        squeezed = _squeezed(body)
        if any(result.startswith(squeezed) or squeezed.startswith(result) for result in self._results):
            return True
        return _CALL.startswith(squeezed) or (squeezed.startswith(_CALL) and _is_open_or_call(body))

    def is_one(self, text: str) -> bool:
        """Whether this whole text is no answer."""
        body = _body(text).removesuffix("```").strip()
        if not body or body.startswith(_TAGS):
            return True
        return _squeezed(body) in self._results or _is_call(_json(body))


def _is_open_or_call(text: str) -> bool:
    """Whether this JSON is not complete yet, or is a call."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return True
    return _is_call(value)


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value and any(isinstance(value.get(key), dict) for key in _CALL_KEYS)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _body(text: str) -> str:
    """The text without white space and the fence before it."""
    rest = _FENCE.sub("", text, count=1)
    return "" if "```".startswith(rest) else rest


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _opens_json(text: str) -> bool:
    return isinstance(_json(text), (dict, list))
