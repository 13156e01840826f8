"""Tools, calls and results as Gemma's prompts print them: no JSON, texts between a quote, keys in alphabetical order.

Sources: the macros of the chat template of Gemma 4 31B, repeated here rule for rule, its omissions included: a
parameter that is named as a keyword of a schema (`type`, `description`, …) is not shown, and parameters without a type
are not closed. FunctionGemma's documentation prints the same with another quote. Reads prepared tools; knows no
message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_KEYWORDS = ("description", "type", "properties", "required", "nullable")


@dataclass(frozen=True, slots=True)
class Notation:
    """How values are written. `quote` stands around texts, `null` is the value of nothing."""

    quote: str
    null: str = "None"

    def argument(self, value: Any, *, quotes_keys: bool = False) -> str:
        """A value of a call or of a schema. `quotes_keys`: the keys of objects are texts between quotes, too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Mapping):
            members = (
                f"{self.text(key) if quotes_keys else key}:{self.argument(part, quotes_keys=quotes_keys)}"
                for key, part in in_order(value)
            )
            return f"{{{','.join(members)}}}"
        if isinstance(value, Sequence):
            return f"[{','.join(self.argument(part, quotes_keys=quotes_keys) for part in value)}]"
        return self.null if value is None else str(value)

    def text(self, text: Any) -> str:
        """A text between quotes."""
        return f"{self.quote}{text}{self.quote}"

    def called(self, arguments: Any) -> str:
        """The arguments of a past call, without the braces around them."""
        if not isinstance(arguments, Mapping):
            return str(arguments)
        return ",".join(f"{key}:{self.argument(value)}" for key, value in in_order(arguments))

    def declaration(self, function: Mapping[str, Any]) -> str:
        """One tool."""
        parameters = function.get("parameters")
        parts = [f"{{description:{self.text(function.get('description', ''))}"]
        if parameters:
            inner = []
            if parameters.get("properties"):
                inner.append(f"properties:{{{','.join(self._properties(parameters['properties']))}}},")
            if parameters.get("required"):
                inner.append(f"{self._required(parameters['required'])},")
            if parameters.get("type"):
                inner.append(f"type:{self.text(_upper(parameters['type']))}}}")
            parts.append(f",parameters:{{{''.join(inner)}")
        return f"declaration:{function['name']}{''.join(parts)}}}".strip()

    def _properties(self, properties: Mapping[str, Any]) -> Iterator[str]:
        for name, schema in in_order(properties):
            if name not in _KEYWORDS:
                yield f"{name}:{{{','.join(self._keywords(schema if isinstance(schema, Mapping) else {}))}}}"

    def _keywords(self, schema: Mapping[str, Any]) -> Iterator[str]:
        kind = _upper(schema.get("type", ""))
        if schema.get("description"):
            yield f"description:{self.text(schema['description'])}"
        if kind == "STRING" and schema.get("enum"):
            yield f"enum:{self.argument(schema['enum'], quotes_keys=True)}"
        if kind == "ARRAY" and isinstance(schema.get("items"), Mapping) and schema["items"]:
            yield f"items:{{{','.join(self._items(schema['items']))}}}"
        if schema.get("nullable"):
            yield "nullable:true"
        if kind == "OBJECT":
            properties = schema["properties"] if isinstance(schema.get("properties"), Mapping) else schema
            yield f"properties:{{{','.join(self._properties(properties))}}}"
            if schema.get("required"):
                yield self._required(schema["required"])
        yield f"type:{self.text(kind)}"

    def _items(self, schema: Mapping[str, Any]) -> Iterator[str]:
        for keyword, value in in_order(schema):
            if value is None:
                continue
            if keyword == "properties":
                shown = self._properties(value) if isinstance(value, Mapping) else ()
                yield f"properties:{{{','.join(shown)}}}"
            elif keyword == "required":
                yield self._required(value)
            elif keyword == "type":
                names = _upper(value) if isinstance(value, str) else [_upper(name) for name in value]
                yield f"type:{self.argument(names, quotes_keys=True)}"
            else:
                yield f"{keyword}:{self.argument(value, quotes_keys=True)}"

    def _required(self, names: Sequence[str]) -> str:
        return f"required:[{','.join(map(self.text, names))}]"


def in_order(members: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Members by their keys, small letters and capitals alike."""
    return sorted(members.items(), key=lambda member: member[0].lower())


def _upper(value: Any) -> str:
    return str(value).upper()
