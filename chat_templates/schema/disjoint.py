"""Whether two schemas have no value in common: then `oneOf` says the same as `anyOf`.

Knows JSON Schema in draft 2020-12. Law: True is a proof; False says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from chat_templates.schema.references import resolve
from chat_templates.schema.types import type_of

# Comparisons spent on one list of alternatives: a hundred with a discriminator take some ten thousand.
_MAX_COMPARISONS = 50_000
_TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})


def all_disjoint(schemas: list[Any], root: Mapping[str, Any]) -> bool:
    """Whether no value fits two of the schemas. References are resolved in `root`."""
    proof = _Proof(root)
    return all(proof.are_disjoint(first, second) for first, second in combinations(schemas, 2))


class _Proof:
    """Compares until its comparisons are used up; after that nothing is proved."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._n_left = _MAX_COMPARISONS

    def are_disjoint(self, first: Any, second: Any, depth: int = 0) -> bool:
        self._n_left -= 1
        if first is False or second is False:
            return True
        # A discriminator stands one level down; each reference and each alternative is a level too.
        if self._n_left < 0 or depth > 6 or not isinstance(first, Mapping) or not isinstance(second, Mapping):
            return False
        if not _types(first) & _types(second) or _values_differ(first, second):
            return True
        return (
            self._members_differ(first, second, depth)
            or self._parts_differ(first, second, depth)
            or self._parts_differ(second, first, depth)
        )

    def _parts_differ(self, one: Mapping[str, Any], other: Mapping[str, Any], depth: int) -> bool:
        if any(self.are_disjoint(part, other, depth + 1) for part in _wider(one, self._root)):
            return True
        listed = [one[keyword] for keyword in ("anyOf", "oneOf") if isinstance(one.get(keyword), list)]
        return any(all(self.are_disjoint(part, other, depth + 1) for part in options) for options in listed)

    def _members_differ(self, first: Mapping[str, Any], second: Mapping[str, Any], depth: int) -> bool:
        """Both are objects, and one key that every such object has cannot fit both."""
        if _types(first) & _types(second) != {"object"}:
            return False
        return any(
            self._is_excluded(name, one, other, depth)
            for one, other in ((first, second), (second, first))
            if isinstance(one.get("required"), list)
            for name in one["required"]
        )

    def _is_excluded(self, name: str, one: Mapping[str, Any], other: Mapping[str, Any], depth: int) -> bool:
        ours, theirs = one.get("properties"), other.get("properties")
        if isinstance(theirs, Mapping) and name in theirs:
            own = ours.get(name) if isinstance(ours, Mapping) else None
            return self.are_disjoint(own, theirs[name], depth + 1)
        return other.get("additionalProperties") is False and "patternProperties" not in other


def _wider(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Any]:
    """Schemas that everything fits that fits this one."""
    wider = list(schema["allOf"]) if isinstance(schema.get("allOf"), list) else []
    if "$ref" in schema:
        try:
            wider.append(resolve(root, schema["$ref"]))
        except LookupError:
            return wider
    return wider


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    given = schema.get("type", list(_TYPES))
    kinds = given if isinstance(given, list) else [given]
    types = frozenset("number" if kind == "integer" else str(kind) for kind in kinds)
    values = _values(schema)
    return types if values is None else types & {_type_of(value) for value in values}


def _type_of(value: Any) -> str:
    kind = type_of(value)
    return "number" if kind == "integer" else kind


def _values(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _values_differ(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    ours, theirs = _values(first), _values(second)
    if ours is None or theirs is None:
        return False
    return not set(map(_spelled, ours)) & set(map(_spelled, theirs))


def _spelled(value: Any) -> str:
    # 1 and 1.0 are one number; lists and objects are not compared.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(float(value))
    if isinstance(value, (list, Mapping)):
        return "container"
    return json.dumps(value)
