"""Where an enforced schema accepts a little less than the given one, so that it can be enforced at all.

Knows JSON Schema in draft 2020-12, OpenAPI's `discriminator`, and how far llguidance counts. Law: whatever fits what
comes out fits what was given; nobody misses what does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chat_templates.schema.references import resolve

# llguidance passes bounds through doubles and ends in 64 bits with a sign: these two come out exact. -2**63 itself, and
# the thousand after it, which are one double, do not compile.
HIGHEST = 2**63 - 1
LOWEST = -(2**63 - 1024)


def clip_whole_numbers(schema: dict[str, Any]) -> None:
    """Take bounds of integers at the ends of 64 bits, as Go, Rust and Java print them, and beyond, for those ends."""
    if not _is_whole(schema) or "multipleOf" in schema:
        return
    if schema.get("maximum", 0) >= HIGHEST:
        schema["maximum"] = HIGHEST
    if schema.get("minimum", 0) <= LOWEST:
        schema["minimum"] = LOWEST


def is_clipped(keyword: str, schema: Mapping[str, Any]) -> bool:
    """Whether a bound was clipped, and is therefore exact."""
    ends = {"maximum": HIGHEST, "minimum": LOWEST}
    return _is_whole(schema) and "multipleOf" not in schema and schema[keyword] == ends.get(keyword)


def with_discriminators(root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema with the member required that tells alternatives apart, wherever `discriminator` names it.

    pydantic does not require it where it has a default (`kind: Literal["cat"] = "cat"`), and `oneOf` cannot be enforced
    then. A definition that an alternative refers to requires it wherever else it is used.
    """
    telling = dict(_telling(root, root))
    return _copied(root, telling) if telling else root


def _telling(schema: Any, root: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Alternatives, as objects in `root`, that do not require the member that tells them apart, and its name."""
    if isinstance(schema, Mapping):
        discriminator, options = schema.get("discriminator"), schema.get("oneOf")
        if isinstance(discriminator, Mapping) and isinstance(options, list):
            for option in options:
                target, name = _target(option, root), discriminator.get("propertyName")
                if isinstance(name, str) and isinstance(target, Mapping) and _leaves_out(target, name):
                    yield id(target), name
    parts = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    for part in parts:
        yield from _telling(part, root)


def _target(option: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(option, Mapping) or "$ref" not in option:
        return option
    try:
        return resolve(root, option["$ref"])
    except LookupError:
        return None


def _leaves_out(schema: Mapping[str, Any], name: str) -> bool:
    properties, required = schema.get("properties"), schema.get("required", [])
    return (
        isinstance(properties, Mapping) and name in properties and isinstance(required, list) and name not in required
    )


def _copied(value: Any, telling: Mapping[int, str]) -> Any:
    if isinstance(value, list):
        return [_copied(part, telling) for part in value]
    if not isinstance(value, Mapping):
        return value
    out = {key: _copied(part, telling) for key, part in value.items()}
    if id(value) in telling:
        out["required"] = [*out.get("required", []), telling[id(value)]]
    return out


def _is_whole(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    names = kinds if isinstance(kinds, list) else [kinds]
    return "integer" in names and "number" not in names
