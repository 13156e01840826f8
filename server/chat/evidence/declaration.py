"""What a tool's declaration offers to be copied as a value: words of its descriptions, or a schema.

Knows functions, JSON values and words; no event and no conversation. The law: an argument is offered only if the schema
allows the call without it, whatever else the call has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

MIN_WORDS = 3  # of a copied sentence: fewer may be a choice that the description offers
MIN_PARTS = 2  # of a copied path or list: these are examples
MAX_DESCRIPTION = 20_000  # characters of a description that are looked at

_PART = re.compile(r"\w+")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")
_PLAIN_KEYWORDS = frozenset(
    {
        "$defs",
        "$schema",
        "additionalProperties",
        "definitions",
        "description",
        "properties",
        "required",
        "title",
        "type",
    }
)
_CHOOSING_KEYWORDS = frozenset({"const", "enum", "format", "pattern"})


class Declaration:
    """What one function's declaration offers to be copied: its optional arguments that are texts, and its words.

    And its optional objects: a model that knows no value for one writes the schema itself.
    """

    def __init__(self, function: Mapping[str, Any]) -> None:
        self._of_tool = _description(function)
        optional = dict(_optional(function))
        self._of_arguments = {name: _description(schema) for name, schema in optional.items() if _is_text(schema)}
        self._objects = {name: schema for name, schema in optional.items() if schema.get("type") == "object"}
        self._schemas = {name: _without_space(json.dumps(schema)) for name, schema in self._objects.items()}

    def __bool__(self) -> bool:
        return bool(self._of_arguments or self._objects)

    def offers(self, argument: str) -> bool:
        """Whether this argument is optional and a text, a list of texts, or an object."""
        return argument in self._of_arguments or argument in self._objects

    def may_be_copied(self, argument: str, begun: str) -> bool:
        """Whether JSON text may become a value that is a copy. What is said of a whole value, `is_copy` says."""
        if argument in self._objects:
            return self._schemas[argument].startswith(_without_space(begun))
        if begun.lstrip()[:1] not in ("", '"', "["):
            return False
        words = _PART.findall(_ESCAPE.sub(" ", begun))
        if begun[-1:].isalnum() and words:
            del words[-1]  # it may go on
        if not words:
            return begun.count("[") + begun.count("{") <= 1  # a list of texts is not nested
        return self._says(argument, " ".join(words))

    def is_copy(self, argument: str, value: Any) -> bool:
        """Whether a value is a sentence, a path or a list that stands in the declaration, or the argument's schema."""
        if argument in self._objects:
            return bool(value == self._objects[argument])
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts):
            return False
        joined = " ".join(texts)
        is_example = isinstance(value, list) or (len(joined.split()) == 1 and ("/" in joined or "\\" in joined))
        if len(_PART.findall(joined)) < (MIN_PARTS if is_example else MIN_WORDS):
            return False
        return self._says(argument, joined)

    def _says(self, argument: str, text: str) -> bool:
        words = _joined(text)
        return words in self._of_arguments[argument] or words in self._of_tool


def _without_space(text: str) -> str:
    return "".join(text.split())


def _optional(function: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The optional arguments with their schemas; none where one member may demand another."""
    parameters = function.get("parameters")
    if not isinstance(parameters, Mapping) or not parameters.keys() <= _PLAIN_KEYWORDS:
        return
    properties, required = parameters.get("properties"), parameters.get("required", [])
    if isinstance(properties, Mapping) and isinstance(required, list | tuple):
        for name, schema in properties.items():
            if name not in required and isinstance(schema, Mapping):
                yield name, schema


def _description(declared: Mapping[str, Any]) -> str:
    return _joined(str(declared.get("description") or "")[:MAX_DESCRIPTION])


def _joined(text: str) -> str:
    """The words of a text, each between spaces, so that a run of them is found as a run."""
    return "".join(f" {word} " for word in _PART.findall(text.casefold()))


def _is_text(schema: Mapping[str, Any]) -> bool:
    """Whether a schema's values are texts or lists of texts, and free ones."""
    if not schema.keys().isdisjoint(_CHOOSING_KEYWORDS):
        return False
    options = schema.get("anyOf")
    if isinstance(options, list):
        rest = [each for each in options if not isinstance(each, Mapping) or each.get("type") != "null"]
        return len(rest) == 1 and isinstance(rest[0], Mapping) and _is_text(rest[0])
    kind = schema.get("type")
    kinds = [each for each in (kind if isinstance(kind, list) else [kind]) if each != "null"]
    if kinds == ["array"]:
        items = schema.get("items")
        return isinstance(items, Mapping) and _is_text(items)
    return kinds == ["string"]
