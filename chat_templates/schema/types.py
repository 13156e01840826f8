"""Of which types the values are that a schema allows.

Knows JSON Schema in every spelling that `dialect` reads. Law: a type that is left out is one that no value of the
schema has; None means that the schema says nothing about types.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from chat_templates.schema.dialect import in_2020_12
from chat_templates.schema.references import resolve

_MAX_DEPTH = 8
_LISTS = ("anyOf", "oneOf", "allOf")
_NAMES: Mapping[type, str] = MappingProxyType(
    {type(None): "null", bool: "boolean", str: "string", int: "integer", list: "array"}
)


def types_of(schema: Any, root: Any) -> frozenset[str] | None:
    """The names of types, "integer" beside "number". References are resolved in `root`."""
    return _types(in_2020_12(schema), root, 0)


def type_of(value: Any) -> str:
    """The type of a JSON value, as narrow as there is one."""
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return _NAMES.get(type(value), "object")


def _types(schema: Any, root: Any, depth: int) -> frozenset[str] | None:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    known = [_named(schema), _valued(schema)]
    listed = {keyword: [_types(part, root, depth + 1) for part in _parts(schema, keyword)] for keyword in _LISTS}
    known += listed["allOf"] + [_union(listed[keyword]) for keyword in ("anyOf", "oneOf") if listed[keyword]]
    if "$ref" in schema:
        try:
            known.append(_types(in_2020_12(resolve(root, schema["$ref"])), root, depth + 1))
        except LookupError:
            return None
    narrowing = [types for types in known if types is not None]
    return frozenset.intersection(*narrowing) if narrowing else None


def _named(schema: Mapping[str, Any]) -> frozenset[str] | None:
    given = schema.get("type")
    names = given if isinstance(given, list) else [given]
    if given is None or not all(isinstance(name, str) for name in names):
        return None
    return frozenset(names) | ({"integer"} if "number" in names else frozenset())


def _valued(schema: Mapping[str, Any]) -> frozenset[str] | None:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return frozenset(map(type_of, values)) if isinstance(values, list) else None


def _parts(schema: Mapping[str, Any], keyword: str) -> list[Any]:
    """The schemas under a keyword that something may fit."""
    parts = schema.get(keyword)
    return [part for part in parts if part is not False] if isinstance(parts, list) else []


def _union(types: list[frozenset[str] | None]) -> frozenset[str] | None:
    known = [each for each in types if each is not None]
    return frozenset[str]().union(*known) if len(known) == len(types) else None
