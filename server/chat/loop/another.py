"""In place of a call that was answered, the same tool's call for the next thing that the user asked for.

Knows a tool's schema, its answered calls and the user's words; no token and no event. Asked for two cities, a small
model calls for the first one again. The law: only a call passes whose values are the user's own words, one of which no
answered call had; that is known when the call is whole, and nothing of it is told before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from server.chat.loop.results import leaves_of

_WORD = re.compile(r"\b\w")


def varied(function: Mapping[str, Any], answered: Sequence[Any], asked: str) -> dict[str, Any] | None:
    """The function with the values taken out of it that answered calls had; None where no argument can be varied.

    It is the first string argument whose answered values are the user's words, `asked`.
    """
    parameters = function.get("parameters") or {}
    properties = parameters.get("properties") or {}
    for key, schema in properties.items():
        known = [arguments.get(key) for arguments in answered if isinstance(arguments, Mapping)]
        if not known or not all(isinstance(value, str) and value and _is_in(value, asked) for value in known):
            continue
        without = _without(schema, [value for value in known if isinstance(value, str)], asked)
        if without is not None:
            return {**function, "parameters": {**parameters, "properties": {**properties, key: without}}}
    return None


def is_asked_for(arguments: Any, answered: Sequence[Any], asked: str) -> bool:
    """Whether these arguments are the user's words, or an answered call's, and one of them is new."""
    known = {leaf.casefold() for one in answered for leaf in leaves_of(one)}
    is_new = False
    for leaf in leaves_of(arguments):
        if leaf.casefold() in known:
            continue
        if not _is_in(leaf, asked) or any(leaf.casefold() in value or value in leaf.casefold() for value in known):
            return False
        is_new = True
    return is_new


def beginning_with_none(values: Sequence[str]) -> str:
    """A regular expression of the texts that begin with none of these, which are not empty."""
    heads = sorted({value[0] for value in values})
    ways = ["", f"[^{''.join(map(_in_class, heads))}](.|\\n)*"]
    for head in heads:
        tails = [value[1:] for value in values if value[0] == head]
        if all(tails):
            ways.append(re.escape(head) + beginning_with_none(tails))
    return f"({'|'.join(ways)})"


def _without(schema: Any, values: Sequence[str], asked: str) -> dict[str, Any] | None:
    if not isinstance(schema, Mapping) or schema.get("type") != "string":
        return None
    if isinstance(schema.get("enum"), list):
        left = [value for value in schema["enum"] if value not in values]
        return {**schema, "enum": left} if left else None
    if schema.keys() - {"type", "description", "title", "examples", "default"}:
        return None
    return {**schema, "pattern": f"^{beginning_with_none([_head(value, asked) for value in values])}$"}


def _head(value: str, asked: str) -> str:
    """As much of a value as tells it from everything else that the user named: of p-100 beside p-200 it is "p-1".

    Where only the whole value is forbidden, a model that has begun it ends it in a way of its own: p-101.
    """
    others = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", " ", asked, flags=re.IGNORECASE)
    n_shared = max((_n_shared(value, others[word.start() :]) for word in _WORD.finditer(others)), default=0)
    return value[: n_shared + 1]


def _n_shared(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _in_class(character: str) -> str:
    return f"\\{character}" if character in r"\]^-[" else character


def _is_in(value: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None
