"""What a schema may ask for: bounds on depth, size and recursion, checked before anything is compiled.

Knows JSON Schema in draft 2020-12 (see `dialect`) and what grammar compilers cannot bear: a chain of a thousand
references ends a process by stack overflow, an object of a thousand optional keys has rows of four thousand items, and
recursion without an end is found only after the text has entered it. Linear in the schema's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chat_templates.schema.dialect import parts
from chat_templates.schema.references import resolve

# Levels of subschemas and references, each reference followed once. Real tools stay below 30.
MAX_DEPTH = 150
# The largest tools of real servers have some hundred.
MAX_SUBSCHEMAS = 10_000
MAX_PROPERTIES = 400
MAX_ALTERNATIVES = 400
MAX_ENUM = 20_000
MAX_ENUM_OF_CONTAINERS = 1000  # values, those inside others included
# Compilers compare each pair.
MAX_PATTERN_PROPERTIES = 20
# No answer of a context of some ten thousand tokens could satisfy a higher one.
MAX_AT_LEAST = 10_000
_MAX_ROUNDS = 32

_AT_LEAST = ("minLength", "minItems", "minProperties")


class SchemaLimitError(ValueError):
    """A schema exceeds a limit, or describes nothing finite. `path` leads to the place, "" is the schema itself."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


class EndlessSchemaError(SchemaLimitError):
    """A schema that nothing finite fits, since a reference in it leads back to itself."""


def check_limits(root: Mapping[str, Any]) -> None:
    """Raise `SchemaLimitError` if the schema is too deep or too large, `EndlessSchemaError` if nothing finite fits."""
    walk = _Walk(root)
    walk.visit(root, "", 1)
    _check_ends(root, walk.targets)


class _Walk:
    """A walk through a schema that follows each reference once. `targets` are the references met and their places."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._n_subschemas = 0
        self.targets: dict[str, str] = {}

    def visit(self, schema: Any, path: str, depth: int) -> None:
        self._n_subschemas += 1
        if depth > MAX_DEPTH:
            raise SchemaLimitError(path, f"it is nested deeper than {MAX_DEPTH} levels, references included")
        if self._n_subschemas > MAX_SUBSCHEMAS:
            raise SchemaLimitError(path, f"there are more than {MAX_SUBSCHEMAS} subschemas")
        if not isinstance(schema, Mapping):
            return
        _check_sizes(schema, path)
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in self.targets:
            self.targets[reference] = path
            target = _target(self._root, reference)
            if target is not None:
                self.visit(target, path, depth + 1)
        for place, part in parts(schema):
            self.visit(part, f"{path}.{place}", depth + 1)


def _check_sizes(schema: Mapping[str, Any], path: str) -> None:
    for keyword in _AT_LEAST:
        value = schema.get(keyword)
        if isinstance(value, (int, float)) and value > MAX_AT_LEAST:
            raise SchemaLimitError(path, f"{keyword} is {value}; the limit is {MAX_AT_LEAST}")
    for keyword, size, limit in _sizes(schema):
        if size > limit:
            raise SchemaLimitError(path, f"{keyword} has {size} entries; the limit is {limit}")


def _sizes(schema: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    for keyword, limit in (
        ("properties", MAX_PROPERTIES),
        ("required", MAX_PROPERTIES),
        ("patternProperties", MAX_PATTERN_PROPERTIES),
    ):
        if isinstance(schema.get(keyword), (Mapping, list)):
            yield keyword, len(schema[keyword]), limit
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(schema.get(keyword), list):
            yield keyword, len(schema[keyword]), MAX_ALTERNATIVES
    values = schema.get("enum")
    if isinstance(values, list):
        n_values = sum(map(_n_values, values))
        yield "enum", n_values, MAX_ENUM if n_values == len(values) else MAX_ENUM_OF_CONTAINERS
    if "const" in schema:
        yield "const", _n_values(schema["const"]), MAX_ENUM_OF_CONTAINERS


def _n_values(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + sum(map(_n_values, value.values()))
    return 1 + sum(map(_n_values, value)) if isinstance(value, list) else 1


def _target(root: Mapping[str, Any], reference: str) -> Any:
    try:
        return resolve(root, reference)
    except LookupError:
        return None


def _check_ends(root: Mapping[str, Any], targets: Mapping[str, str]) -> None:
    """Every reference must have a finite value: the least fixed point of "all its required parts have one"."""
    ending: set[str] = set()
    schemas = {reference: _target(root, reference) for reference in targets}
    for _ in range(_MAX_ROUNDS):
        n_before = len(ending)
        # The innermost were met last.
        for reference in reversed(schemas):
            if reference not in ending and _ends(schemas[reference], ending):
                ending.add(reference)
        if len(ending) == n_before:
            break
    for reference, path in targets.items():
        if reference not in ending:
            raise EndlessSchemaError(path, f"the recursion of {reference!r} never ends")
    if not _ends({**root, "type": "object"}, ending):
        raise EndlessSchemaError("", "its recursion never ends")


def _ends(schema: Any, ending: set[str]) -> bool:
    if not isinstance(schema, Mapping):
        return True
    if isinstance(schema.get("$ref"), str) and schema["$ref"] not in ending:
        return False
    if not all(_ends(part, ending) for part in _listed(schema, "allOf")):
        return False
    for keyword in ("anyOf", "oneOf"):
        options = _listed(schema, keyword)
        if options and not any(_ends(part, ending) for part in options):
            return False
    if "enum" in schema or "const" in schema or "type" not in schema:
        return True
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return any(_kind_ends(kind, schema, ending) for kind in kinds)


def _kind_ends(kind: Any, schema: Mapping[str, Any], ending: set[str]) -> bool:
    if kind == "object":
        properties = schema.get("properties")
        required = _listed(schema, "required")
        if not isinstance(properties, Mapping):
            return True
        return all(_ends(properties.get(name), ending) for name in required if isinstance(name, str))
    if kind == "array":
        at_least = schema.get("minItems", 0)
        first = _listed(schema, "prefixItems")
        if not isinstance(at_least, int) or at_least == 0:
            return True
        rest = schema.get("items") if at_least > len(first) else None
        return all(_ends(part, ending) for part in (*first[:at_least], rest))
    return True


def _listed(schema: Mapping[str, Any], keyword: str) -> list[Any]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []
