"""A tool's parameters become the JSON Schema that its arguments are constrained to.

Knows JSON Schema and llguidance's `x-guidance` options; no format and no token. Laws: the caller's schema is not
modified; what the schema allows explicitly stays allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SUBSCHEMA_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_SUBSCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SUBSCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
COMPOSITION = (
    "anyOf",
    "oneOf",
    "allOf",
    "$ref",
    "if",
    "patternProperties",
    "propertyNames",
    "minProperties",
)

# One space after commas and colons: what `json.dumps` prints and every family here was trained on. No other white
# space, so that all of a call's punctuation is forced and costs no decision.
_CANONICAL = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_OPEN = {"whitespace_pattern": r"[ \n\t]{1,24}"}


def arguments_schema(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schema of a call's arguments: an object, closed wherever the tool's own schema does not say otherwise.

    Objects that list `properties` and say nothing about others are closed (`additionalProperties: false`): a small
    model invents keys where it may. Objects built by composition (`anyOf`, `$ref`, …) are left as they are, since
    closing one part of a composition forbids what the other parts allow.
    """
    schema: dict[str, Any] = _closed(parameters or {})
    schema.setdefault("type", "object")
    if not any(key in schema for key in ("properties", "additionalProperties", *COMPOSITION)):
        schema["properties"] = {}
        schema["additionalProperties"] = False
    return schema


def one_line(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema printed on one line with canonical separators."""
    return {**schema, "x-guidance": _CANONICAL}


def open_spaced(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with any white space that JSON allows, in moderation: a model may not idle in it."""
    return {**schema, "x-guidance": _OPEN}


def content_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a JSON answer (`response_format`), canonically spaced, open where the caller left it open."""
    return one_line(schema)


def call_or_content_schema(
    functions: Sequence[Mapping[str, Any]], arguments_key: str, content: Mapping[str, Any]
) -> dict[str, Any]:
    """The schema of an answer that is either a call as a bare object or a JSON answer.

    One schema and not two rules, because llguidance chooses between separate `%json` rules at their first character.
    """
    definitions, calls = _calls(functions, arguments_key)
    definitions["content"] = _relocated(content, "#/$defs/content")
    return content_schema({"$defs": definitions, "anyOf": [*calls, {"$ref": "#/$defs/content"}]})


def calls_or_content_schema(
    functions: Sequence[Mapping[str, Any]], calls_key: str, content: Mapping[str, Any], *, parallel: bool
) -> dict[str, Any]:
    """The schema of an answer that is either an object with an array of calls under `calls_key`, or a JSON answer."""
    definitions, calls = _calls(functions, "arguments")
    definitions["content"] = _relocated(content, "#/$defs/content")
    array: dict[str, Any] = {"type": "array", "items": {"anyOf": calls}, "minItems": 1}
    if not parallel:
        array["maxItems"] = 1
    answer = _object_of({calls_key: array})
    return content_schema({"$defs": definitions, "anyOf": [answer, {"$ref": "#/$defs/content"}]})


def _calls(functions: Sequence[Mapping[str, Any]], arguments_key: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The schemas of calls as objects, and the definitions that they refer to."""
    definitions: dict[str, Any] = {}
    calls = []
    for i, function in enumerate(functions):
        definitions[f"call_{i}"] = _relocated(arguments_schema(function.get("parameters")), f"#/$defs/call_{i}")
        arguments = {"$ref": f"#/$defs/call_{i}"}
        calls.append(_object_of({"name": {"const": function["name"]}, arguments_key: arguments}))
    return definitions, calls


def _object_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object with just these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _relocated(schema: Any, root: str) -> Any:
    """A schema whose own root is no longer the document's: local references are prefixed."""
    if isinstance(schema, Mapping):
        return {
            key: root + value[1:]
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else _relocated(value, root)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_relocated(part, root) for part in schema]
    return schema


def _closed(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    out = dict(schema)
    for key in _SUBSCHEMA_MAPS:
        if isinstance(out.get(key), Mapping):
            out[key] = {name: _closed(sub) for name, sub in out[key].items()}
    for key in _SUBSCHEMA_LISTS:
        if isinstance(out.get(key), list):
            # Parts of an allOf share one object: closing each would leave nothing.
            out[key] = list(out[key]) if key == "allOf" else [_closed(sub) for sub in out[key]]
    for key in _SUBSCHEMAS:
        if isinstance(out.get(key), Mapping):
            out[key] = _closed(out[key])
    if "properties" in out and "additionalProperties" not in out and not any(k in out for k in COMPOSITION):
        out["additionalProperties"] = False
    return out
