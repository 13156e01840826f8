"""The schema of all that does not fit a schema, where a schema without `not` can say it.

Knows draft 2020-12 (see `dialect`); no grammar. Law: every value fits exactly one of a schema and its negation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from chat_templates.schema.keywords import ANNOTATIONS, CONSTRAINTS
from chat_templates.schema.pattern import ANY_CHARACTER
from chat_templates.schema.references import resolve
from chat_templates.schema.types import type_of

_MAX_DEPTH = 12
_MAX_TEXTS = 24  # texts that one pattern excludes
TYPES = ("null", "boolean", "number", "string", "array", "object")
_DEFINITIONS = frozenset({"$defs", "definitions"})

Schema = Any
Opposite = Callable[[Schema], Schema]


class NoNegationError(Exception):
    """No schema says what does not fit; the message is why."""


def negated(schema: Schema, root: Any, depth: int = 0) -> Schema:
    """What does not fit `schema`, whose references lead into `root`. Raises `NoNegationError`."""
    if isinstance(schema, bool):
        return not schema
    if depth > _MAX_DEPTH or not isinstance(schema, Mapping):
        raise NoNegationError("it is nested too deeply")
    constraints = [key for key in schema if key in CONSTRAINTS and key not in ANNOTATIONS | _DEFINITIONS]
    return either([_without(key, schema, root, depth + 1) for key in constraints])


def either(schemas: Iterable[Schema]) -> Schema:
    """What fits one of the schemas at least."""
    possible = [schema for schema in schemas if schema is not False]
    if any(schema is True or schema == {} for schema in possible):
        return True
    if not possible:
        return False
    return possible[0] if len(possible) == 1 else {"anyOf": possible}


def every(schemas: Iterable[Schema]) -> Schema:
    """What fits all of the schemas."""
    needed = [schema for schema in schemas if schema is not True and schema != {}]
    if any(schema is False for schema in needed):
        return False
    if not needed:
        return True
    return needed[0] if len(needed) == 1 else {"allOf": needed}


def other_than(names: Iterable[str]) -> Schema:
    """Values of none of these types, "number" standing for "integer", too."""
    rest = [name for name in TYPES if name not in names]
    return {"type": rest} if rest else False


def absent(name: str) -> Schema:
    """Objects without a member of this name, and all that is no object."""
    return {"properties": {name: False}}


def _without(key: str, schema: Mapping[str, Any], root: Any, depth: int) -> Schema:
    """What does not fit one keyword of a schema."""
    if key in _BOUNDS:
        return _BOUNDS[key](schema[key])
    if key not in _OPPOSITES or not schema.keys().isdisjoint(_BESIDE.get(key, ())):
        raise NoNegationError(f"{key} has no opposite")
    return _OPPOSITES[key](schema[key], lambda part: negated(part, root, depth), root)


def _properties(parts: Mapping[str, Schema], opposite: Opposite, root: Any) -> Schema:
    del root
    return either(_member(name, without) for name, part in parts.items() if (without := opposite(part)) is not False)


def _member(name: str, schema: Schema) -> Schema:
    return {"type": "object", "properties": {name: schema}, "required": [name]}


def _items(items: Schema, opposite: Opposite, root: Any) -> Schema:
    del opposite, root
    if items is not False:
        raise NoNegationError("no schema says that some item does not fit")
    return {"type": "array", "minItems": 1}


def _reference(reference: Any, opposite: Opposite, root: Any) -> Schema:
    try:
        return opposite(resolve(root, reference))
    except LookupError as error:
        raise NoNegationError(str(error)) from error


def _no_type(names: Iterable[str]) -> Schema:
    given = set(names)
    if "integer" in given and "number" not in given:
        raise NoNegationError("no schema says that a number has a fraction")
    return other_than(given)


def _none_of(values: Iterable[Any]) -> Schema:
    by_type: dict[str, list[Any]] = {}
    for value in values:
        kind = type_of(value)
        by_type.setdefault("number" if kind == "integer" else kind, []).append(value)
    if {"array", "object"} & by_type.keys():
        raise NoNegationError("no schema says that a list or an object is another")
    rest = [other_than(by_type)]
    if "boolean" in by_type:
        rest.append({"enum": [flag for flag in (False, True) if flag not in by_type["boolean"]] or []})
    if "number" in by_type:
        rest += _between(sorted(set(by_type["number"])))
    if "string" in by_type:
        rest.append({"type": "string", "pattern": other_text(by_type["string"])})
    return either(schema for schema in rest if schema != {"enum": []})


def _between(numbers: list[float]) -> list[Schema]:
    """The numbers before, between and behind these."""
    first, last = {"exclusiveMaximum": numbers[0]}, {"exclusiveMinimum": numbers[-1]}
    gaps = [{"exclusiveMinimum": a, "exclusiveMaximum": b} for a, b in pairwise(numbers)]
    return [{"type": "number", **bounds} for bounds in (first, *gaps, last)]


def other_text(texts: Iterable[str]) -> str:
    """A regular expression of every text but these: at each letter the text ends or goes on otherwise."""
    tree: dict[str, Any] = {}
    distinct = set(texts)
    if len(distinct) > _MAX_TEXTS:
        raise NoNegationError(f"more than {_MAX_TEXTS} texts are excluded")
    for text in distinct:
        node = tree
        for letter in text:
            node = node.setdefault(letter, {})
        node[""] = {}
    return f"^{_otherwise(tree)}$"


def _otherwise(node: Mapping[str, Any]) -> str:
    letters = {letter: below for letter, below in node.items() if letter}
    if not letters:
        return f"{ANY_CHARACTER}+" if "" in node else f"{ANY_CHARACTER}*"
    others = "".join(re.escape(letter) for letter in letters)
    ways = [
        f"[^{others}]{ANY_CHARACTER}*",
        *(re.escape(letter) + _otherwise(below) for letter, below in letters.items()),
    ]
    return f"(?:{'|'.join(ways)}){'' if '' in node else '?'}"


def _outside(kind: str, keyword: str, step: int) -> Callable[[Any], Schema]:
    """The opposite of a bound: values of the type beyond it."""

    def beyond(bound: Any) -> Schema:
        if step and bound + step < 0:
            return False
        return {"type": kind, keyword: bound + step}

    return beyond


_OPPOSITES: Mapping[str, Callable[[Any, Opposite, Any], Schema]] = MappingProxyType(
    {
        "type": lambda names, _, __: _no_type([names] if isinstance(names, str) else names),
        "const": lambda value, _, __: _none_of([value]),
        "enum": lambda values, _, __: _none_of(values),
        "required": lambda names, _, __: either({"type": "object", **absent(name)} for name in names),
        "properties": _properties,
        "items": _items,
        "contains": lambda part, opposite, _: {"type": "array", "items": opposite(part)},
        "anyOf": lambda parts, opposite, _: every(list(map(opposite, parts))),
        "allOf": lambda parts, opposite, _: either(list(map(opposite, parts))),
        "not": lambda part, _, __: part,
        "$ref": _reference,
    }
)
_BESIDE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"items": ("prefixItems",), "contains": ("minContains", "maxContains")}
)
"""What changes the meaning of a keyword."""
_BOUNDS: Mapping[str, Callable[[Any], Schema]] = MappingProxyType(
    {
        "minimum": _outside("number", "exclusiveMaximum", 0),
        "maximum": _outside("number", "exclusiveMinimum", 0),
        "exclusiveMinimum": _outside("number", "maximum", 0),
        "exclusiveMaximum": _outside("number", "minimum", 0),
        "minLength": _outside("string", "maxLength", -1),
        "maxLength": _outside("string", "minLength", 1),
        "minItems": _outside("array", "maxItems", -1),
        "maxItems": _outside("array", "minItems", 1),
        "minProperties": _outside("object", "maxProperties", -1),
        "maxProperties": _outside("object", "minProperties", 1),
    }
)
