"""A tool's parameters become the JSON Schema that its arguments are constrained to.

Knows JSON Schema and llguidance's `x-guidance` options; no format and no token. Laws: the caller's schema is not
modified; what the schema allows explicitly stays allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from chat_templates.schema.dialect import SUBSCHEMA_LISTS, SUBSCHEMA_MAPS, SUBSCHEMAS

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

_LISTS = ("anyOf", "oneOf", "allOf")
_OF_LISTED = frozenset({"type", "properties", "required", *_LISTS})

_OBJECT_PARTS = ("properties", "patternProperties", "required", "allOf", "$ref")

# One space after commas and colons: what `json.dumps` prints and every family here was trained on. No other white
# space, so that all of a call's punctuation is forced and costs no decision.
#
# No \uXXXX: where keys are open, one would spell a listed key in letters that its schema does not bind.
_ESCAPES = {"json_allowed_escapes": 'nrbtf\\"'}
_CANONICAL = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", **_ESCAPES}
_OPEN = {"whitespace_pattern": r"[ \n\t]{1,24}", **_ESCAPES}


def arguments_schema(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schema of a call's arguments: an object, closed wherever the tool's own schema does not say otherwise.

    Objects that list `properties` and say nothing about others are closed (`additionalProperties: false`): a small
    model invents keys where it may. Objects built by composition (`anyOf`, `$ref`, …) are left as they are, since
    closing one part of a composition forbids what the other parts allow, unless these speak of listed members alone.
    """
    given = parameters or {}
    schema: dict[str, Any] = _closed(given, frozenset(_shared_places(given)))
    schema.setdefault("type", "object")
    if not any(key in schema for key in ("properties", "additionalProperties", "required", *COMPOSITION)):
        schema["properties"] = {}
        schema["additionalProperties"] = False
    return schema


def one_line(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema printed on one line with canonical separators."""
    return {**schema, "x-guidance": _CANONICAL}


def scalar(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of values that have no white space around parts of theirs."""
    return {**schema, "x-guidance": _ESCAPES}


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


def _closed(schema: Any, shared: frozenset[str] = frozenset(), place: str = "#") -> Any:
    """A schema with its objects closed, but for those at the places in `shared`: they are parts of others."""
    if not isinstance(schema, Mapping):
        return schema
    out = dict(schema)
    for key in SUBSCHEMA_MAPS:
        if isinstance(out.get(key), Mapping):
            out[key] = {name: _closed(part, shared, f"{place}/{key}/{name}") for name, part in out[key].items()}
    for key in SUBSCHEMA_LISTS:
        # Parts that share one object, among themselves or with `properties` beside them: closing each leaves nothing.
        if isinstance(out.get(key), list) and not _holds_beside(key, out):
            out[key] = [_closed(part, shared, f"{place}/{key}/{i}") for i, part in enumerate(out[key])]
    for key in SUBSCHEMAS:
        if isinstance(out.get(key), Mapping):
            out[key] = _closed(out[key], shared, f"{place}/{key}")
    if place not in shared and _is_closable(out):
        out["additionalProperties"] = False
    return out


def _is_of(members: Any, kind: type[Mapping[str, Any] | list[Any]], names: Collection[str]) -> bool:
    return isinstance(members, kind) and all(isinstance(name, str) and name in names for name in members)


def _holds_beside(key: str, schema: Mapping[str, Any]) -> bool:
    """Whether a keyword's parts describe an object that another part describes as well."""
    return key == "allOf" or (key in ("anyOf", "oneOf") and any(name in schema for name in _OBJECT_PARTS))


def _is_closable(schema: Mapping[str, Any]) -> bool:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or "additionalProperties" in schema:
        return False
    in_the_way = {key for key in COMPOSITION if key in schema}
    if schema.get("minProperties", 0) <= len(properties):
        in_the_way.discard("minProperties")
    in_the_way -= {key for key in _LISTS if key in in_the_way and _names_only(schema[key], properties.keys())}
    return not in_the_way


def _names_only(parts: Any, names: Collection[str]) -> bool:
    """Whether parts of an object speak of these members alone, so that closing it forbids nothing that one allows."""
    return isinstance(parts, list) and all(
        isinstance(part, Mapping)
        and part.keys() <= _OF_LISTED
        and _is_of(part.get("properties", {}), Mapping, names)
        and _is_of(part.get("required", []), list, names)
        and all(_names_only(part[key], names) for key in _LISTS if key in part)
        for part in parts
    )


def _shared_places(schema: Any, *, is_part: bool = False) -> Iterator[str]:
    """What is referred to from where other schemas hold for the same object."""
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and (is_part or len(schema) > 1):
            yield reference
        for key, part in schema.items():
            yield from _shared_places(part, is_part=_holds_beside(key, schema))
    elif isinstance(schema, list):
        for part in schema:
            yield from _shared_places(part, is_part=is_part)
