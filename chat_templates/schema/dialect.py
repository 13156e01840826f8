"""One spelling of JSON Schema: what clients send, written as draft 2020-12.

Knows the spellings of other drafts, of OpenAPI and of Python (`"type": "float"`, from function-calling data sets);
nothing of grammars. Law: the meaning stays; the caller's schema is not modified; what is malformed stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

SUBSCHEMA_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
SUBSCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SUBSCHEMAS = (
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)

# Names of types that are not JSON Schema's. "any" stands for all types.
_TYPE_NAMES = {
    "dict": "object",
    "float": "number",
    "double": "number",
    "int": "integer",
    "long": "integer",
    "bool": "boolean",
    "str": "string",
    "list": "array",
    "tuple": "array",
    "none": "null",
    "nonetype": "null",
}


def steps(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The subschemas one level below, each with the keys that lead to it: `("properties", "city")`, `("items",)`."""
    for key in SUBSCHEMA_MAPS:
        if isinstance(schema.get(key), Mapping):
            for name, part in schema[key].items():
                yield (key, name), part
    for key in SUBSCHEMA_LISTS:
        if isinstance(schema.get(key), list):
            for i, part in enumerate(schema[key]):
                yield (key, i), part
    for key in SUBSCHEMAS:
        if key in schema:
            yield (key,), schema[key]


def parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The subschemas one level below, each with its place (`properties.city`, `anyOf[0]`, `items`)."""
    for (key, *below), part in steps(schema):
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in below)
        yield f"{key}{place}", part


def mapped(schema: Mapping[str, Any], rewrite: Callable[[Any], Any]) -> dict[str, Any]:
    """A copy with each subschema one level below rewritten; what is malformed stays as it is."""
    out = dict(schema)
    for key in SUBSCHEMA_MAPS:
        if isinstance(out.get(key), Mapping):
            out[key] = {name: rewrite(part) for name, part in out[key].items()}
    for key in SUBSCHEMA_LISTS:
        if isinstance(out.get(key), list):
            out[key] = [rewrite(part) for part in out[key]]
    for key in SUBSCHEMAS:
        if key in out:
            out[key] = rewrite(out[key])
    return out


def in_2020_12(schema: Any) -> Any:
    """A copy of a schema in draft 2020-12, whatever `$schema` says.

    - types: Python's names, any case of letters; `nullable: true` beside a type adds "null" (OpenAPI 3.0)
    - lists in `items` and `additionalItems` (drafts up to 2019-09) become `prefixItems` and `items`
    - `dependencies` (up to draft 7) becomes `dependentRequired` and `dependentSchemas`
    - boolean `exclusiveMinimum` and `exclusiveMaximum` (draft 4) become numbers
    - lists without entries where an object of schemas belongs become empty objects: PHP has one array for both
    - parts that say no more than `"not": {}`, which zod prints for what is undefined, become `false`
    """
    if not isinstance(schema, Mapping):
        return schema
    out = {key: value for key, value in schema.items() if key != "$schema"}
    for key in (*SUBSCHEMA_MAPS, "dependencies", "dependentRequired"):
        if out.get(key) == []:
            out[key] = {}
    _translate_types(out)
    _translate_items(out)
    _translate_dependencies(out)
    _translate_bound(out, "exclusiveMinimum", "minimum")
    _translate_bound(out, "exclusiveMaximum", "maximum")
    return mapped(out, _part)


def _part(schema: Any) -> Any:
    return False if schema in ({"not": {}}, {"not": True}) else in_2020_12(schema)


def _translate_types(out: dict[str, Any]) -> None:
    given = out.get("type")
    if isinstance(given, str):
        kinds = [_type_name(given)]
    elif isinstance(given, list) and all(isinstance(name, str) for name in given):
        kinds = list(dict.fromkeys(map(_type_name, given)))
    else:
        return
    if "any" in kinds:
        del out["type"]
        return
    if out.pop("nullable", None) is True and "null" not in kinds:
        kinds.append("null")
    out["type"] = kinds[0] if len(kinds) == 1 else kinds


def _type_name(name: str) -> str:
    lower = name.lower()
    return _TYPE_NAMES.get(lower, lower)


def _translate_items(out: dict[str, Any]) -> None:
    rest = out.pop("additionalItems", None)
    if isinstance(out.get("items"), list):
        out["prefixItems"] = out.pop("items")
        if rest is not None:
            out["items"] = rest


def _translate_dependencies(out: dict[str, Any]) -> None:
    dependencies = out.get("dependencies")
    if not isinstance(dependencies, Mapping):
        return
    del out["dependencies"]
    names = {key: value for key, value in dependencies.items() if isinstance(value, list)}
    schemas = {key: value for key, value in dependencies.items() if not isinstance(value, list)}
    if names:
        out["dependentRequired"] = {**out.get("dependentRequired", {}), **names}
    if schemas:
        out["dependentSchemas"] = {**out.get("dependentSchemas", {}), **schemas}


def _translate_bound(out: dict[str, Any], exclusive: str, bound: str) -> None:
    if isinstance(out.get(exclusive), bool):
        is_exclusive = out.pop(exclusive)
        if is_exclusive and bound in out:
            out[exclusive] = out.pop(bound)
