"""How a set of tools is written down here: shorthand for JSON Schema, and what is known of a set.

Law: every set is invented, in the shape of what real servers and agents send. To add one, write a `ToolSet` into the
list of a group (`developers.py`, `web.py`, …) with one call that fits; the tests and the benchmark find it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolSet:
    """Some tools in OpenAI's shape, and one call, (name, arguments with keys in declared order), that fits its schema.

    `degraded` are the tools that no grammar holds to, with the keywords that are to blame. `refused` is the path of the
    error if a request with these tools is refused, and the set then has no call.
    """

    name: str
    tools: Sequence[Schema]
    call: tuple[str, Schema] = ("", {})
    degraded: Mapping[str, set[str]] = field(default_factory=dict)
    refused: str | None = None


def tool(name: str, description: str = "", properties: Mapping[str, Schema] | None = None, **more: Any) -> Schema:
    """A tool whose arguments are these properties; `more` goes into the schema of its parameters."""
    return with_parameters(name, obj(properties or {}, **more), description)


def with_parameters(name: str, parameters: Schema, description: str = "") -> Schema:
    """A tool with a schema of parameters as it stands."""
    return {
        "type": "function",
        "function": {"name": name, "description": description or f"Does {name}.", "parameters": parameters},
    }


def obj(properties: Mapping[str, Schema], **more: Any) -> Schema:
    """An object; a name that ends in `?` is optional, the others are required."""
    required = [name for name in properties if not name.endswith("?")]
    named = {name.removesuffix("?"): schema for name, schema in properties.items()}
    return {"type": "object", "properties": named, **({"required": required} if required else {}), **more}


def string(description: str = "", **more: Any) -> Schema:
    """A string."""
    return _described({"type": "string", **more}, description)


def integer(description: str = "", **more: Any) -> Schema:
    """A whole number."""
    return _described({"type": "integer", **more}, description)


def number(description: str = "", **more: Any) -> Schema:
    """Any number."""
    return _described({"type": "number", **more}, description)


def flag(description: str = "", **more: Any) -> Schema:
    """True or false."""
    return _described({"type": "boolean", **more}, description)


def enum(*values: str, **more: Any) -> Schema:
    """One of some strings."""
    return {"type": "string", "enum": list(values), **more}


def const(value: Any) -> Schema:
    """One value."""
    return {"const": value}


def array(items: Schema | bool, description: str = "", **more: Any) -> Schema:
    """A list."""
    return _described({"type": "array", "items": items, **more}, description)


def mapping(values: Schema | bool, **more: Any) -> Schema:
    """An object with any names."""
    return {"type": "object", "additionalProperties": values, **more}


def any_of(*schemas: Schema | bool, **more: Any) -> Schema:
    """One of several schemas."""
    return {"anyOf": list(schemas), **more}


def one_of(*schemas: Schema, **more: Any) -> Schema:
    """Exactly one of several schemas."""
    return {"oneOf": list(schemas), **more}


def nullable(schema: Schema, **more: Any) -> Schema:
    """A schema, or null."""
    return any_of(schema, {"type": "null"}, **more)


def ref(name: str, **more: Any) -> Schema:
    """A reference to a definition."""
    return {"$ref": f"#/$defs/{name}", **more}


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema
