"""Tools, calls and results as Gemma 4's prompt prints them: no JSON, texts between `<|"|>`, keys in alphabetical order.

Source: the macros of the chat template of Gemma 4 31B, repeated here rule for rule, its omissions included: a parameter
that is named as a keyword of a schema (`type`, `description`, …) is not shown, and parameters without a type are not
closed. Reads prepared tools; knows no message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

QUOTE = '<|"|>'
_KEYWORDS = ("description", "type", "properties", "required", "nullable")


def argument(value: Any, *, quotes_keys: bool = False) -> str:
    """A value of a call or of a schema. `quotes_keys`: the keys of objects are texts between quotes, too."""
    if isinstance(value, str):
        return f"{QUOTE}{value}{QUOTE}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        members = (
            f"{QUOTE + key + QUOTE if quotes_keys else key}:{argument(part, quotes_keys=quotes_keys)}"
            for key, part in in_order(value)
        )
        return f"{{{','.join(members)}}}"
    if isinstance(value, Sequence):
        return f"[{','.join(argument(part, quotes_keys=quotes_keys) for part in value)}]"
    return str(value)


def called(arguments: Any) -> str:
    """The arguments of a past call, without the braces around them."""
    if not isinstance(arguments, Mapping):
        return str(arguments)
    return ",".join(f"{key}:{argument(value)}" for key, value in in_order(arguments))


def declaration(function: Mapping[str, Any]) -> str:
    """One tool."""
    parameters = function.get("parameters")
    parts = [f"{{description:{QUOTE}{function.get('description', '')}{QUOTE}"]
    if parameters:
        inner = []
        if parameters.get("properties"):
            inner.append(f"properties:{{{','.join(_properties(parameters['properties']))}}},")
        if parameters.get("required"):
            inner.append(f"{_required(parameters['required'])},")
        if parameters.get("type"):
            inner.append(f"type:{QUOTE}{_upper(parameters['type'])}{QUOTE}}}")
        parts.append(f",parameters:{{{''.join(inner)}")
    return f"declaration:{function['name']}{''.join(parts)}}}".strip()


def in_order(members: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Members by their keys, small letters and capitals alike."""
    return sorted(members.items(), key=lambda member: member[0].lower())


def _properties(properties: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in in_order(properties):
        if name not in _KEYWORDS:
            yield f"{name}:{{{','.join(_keywords(schema if isinstance(schema, Mapping) else {}))}}}"


def _keywords(schema: Mapping[str, Any]) -> Iterator[str]:
    kind = _upper(schema.get("type", ""))
    if schema.get("description"):
        yield f"description:{QUOTE}{schema['description']}{QUOTE}"
    if kind == "STRING" and schema.get("enum"):
        yield f"enum:{argument(schema['enum'], quotes_keys=True)}"
    if kind == "ARRAY" and isinstance(schema.get("items"), Mapping) and schema["items"]:
        yield f"items:{{{','.join(_items(schema['items']))}}}"
    if schema.get("nullable"):
        yield "nullable:true"
    if kind == "OBJECT":
        properties = schema["properties"] if isinstance(schema.get("properties"), Mapping) else schema
        yield f"properties:{{{','.join(_properties(properties))}}}"
        if schema.get("required"):
            yield _required(schema["required"])
    yield f"type:{QUOTE}{kind}{QUOTE}"


def _items(schema: Mapping[str, Any]) -> Iterator[str]:
    for keyword, value in in_order(schema):
        if value is None:
            continue
        if keyword == "properties":
            shown = _properties(value) if isinstance(value, Mapping) else ()
            yield f"properties:{{{','.join(shown)}}}"
        elif keyword == "required":
            yield _required(value)
        elif keyword == "type":
            names = _upper(value) if isinstance(value, str) else [_upper(name) for name in value]
            yield f"type:{argument(names, quotes_keys=True)}"
        else:
            yield f"{keyword}:{argument(value, quotes_keys=True)}"


def _required(names: Sequence[str]) -> str:
    return f"required:[{','.join(f'{QUOTE}{name}{QUOTE}' for name in names)}]"


def _upper(value: Any) -> str:
    return str(value).upper()
