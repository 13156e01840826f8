"""JSON Schema's keywords: which constrain, which only describe, and what each may hold.

Knows draft 2020-12 (see `dialect` for the spellings of others).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

ANNOTATIONS = frozenset(
    {
        "$anchor",
        "$comment",
        "$dynamicAnchor",
        "$id",
        "$schema",
        "$vocabulary",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "deprecated",
        "description",
        "examples",
        "id",
        "readOnly",
        "title",
        "writeOnly",
    }
)

TYPES = frozenset({"null", "boolean", "number", "integer", "string", "array", "object"})

# Every integer up to here is a double.
MAX_EXACT = 2**53

_CONTROL = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 and value == int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_type(value: Any) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in TYPES for kind in kinds)


def _is_schema(value: Any) -> bool:
    return isinstance(value, (bool, Mapping))


def _is_schema_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_schema, value))


def _is_schema_map(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_schema, value.values()))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_map_of_names(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_names, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_above_zero(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_anything(_: Any) -> bool:
    return True


_Check = tuple[Callable[[Any], bool], str]
_COUNT: _Check = (_is_count, "expected a whole number from 0 on")
_NUMBER: _Check = (_is_number, "expected a number")
_SCHEMA: _Check = (_is_schema, "expected a schema")
_SCHEMA_LIST: _Check = (_is_schema_list, "expected a list of schemas, not empty")
_SCHEMA_MAP: _Check = (_is_schema_map, "expected an object of schemas")
_TEXT: _Check = (_is_text, "expected a string")

CONSTRAINTS: Mapping[str, _Check] = {
    "type": (_is_type, f"expected one or more of: {', '.join(sorted(TYPES))}"),
    "enum": (_is_list, "expected a list"),
    "const": (_is_anything, ""),
    "properties": _SCHEMA_MAP,
    "required": (_is_names, "expected a list of names"),
    "additionalProperties": _SCHEMA,
    "patternProperties": _SCHEMA_MAP,
    "propertyNames": _SCHEMA,
    "unevaluatedProperties": _SCHEMA,
    "dependentRequired": (_is_map_of_names, "expected an object of lists of names"),
    "dependentSchemas": _SCHEMA_MAP,
    "minProperties": _COUNT,
    "maxProperties": _COUNT,
    "items": _SCHEMA,
    "prefixItems": _SCHEMA_LIST,
    "contains": _SCHEMA,
    "minContains": _COUNT,
    "maxContains": _COUNT,
    "uniqueItems": (_is_flag, "expected a boolean"),
    "unevaluatedItems": _SCHEMA,
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "pattern": _TEXT,
    "format": _TEXT,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "exclusiveMinimum": _NUMBER,
    "exclusiveMaximum": _NUMBER,
    "multipleOf": (_is_above_zero, "expected a number above 0"),
    "anyOf": _SCHEMA_LIST,
    "oneOf": _SCHEMA_LIST,
    "allOf": _SCHEMA_LIST,
    "not": _SCHEMA,
    "if": _SCHEMA,
    "then": _SCHEMA,
    "else": _SCHEMA,
    "$ref": _TEXT,
    "$dynamicRef": _TEXT,
    "$recursiveRef": _TEXT,
    "$defs": _SCHEMA_MAP,
    "definitions": _SCHEMA_MAP,
}
"""What each constraining keyword must hold: a check, and the words for what it expects."""

COUNTS = frozenset(keyword for keyword, check in CONSTRAINTS.items() if check is _COUNT)


def misshapen(keyword: str, value: Any) -> str | None:
    """What is wrong with a constraint's value, or None."""
    is_right, expectation = CONSTRAINTS[keyword]
    return None if is_right(value) else expectation


def value_fault(keyword: str, value: Any) -> str | None:
    """Why a keyword's numbers or strings are beyond what a grammar can write and compare exactly, or None."""
    if keyword in ("const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
        return _literal_fault(value)
    return None


def _literal_fault(value: Any) -> str | None:
    match value:
        case str():
            # Escapes by number are not in the grammar (see `schema`); llguidance would leave the character out.
            return "a control character cannot be written" if _CONTROL.search(value) else None
        case int() | float():
            return "numbers beyond 2**53 are not exact" if abs(value) > MAX_EXACT else None
        case list():
            return next((fault for part in value if (fault := _literal_fault(part))), None)
        case Mapping():
            return _literal_fault([*value, *value.values()])
    return None
