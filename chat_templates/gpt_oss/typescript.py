r"""Tools as the TypeScript namespace that gpt-oss reads.

Source: the macros of gpt-oss' chat template, repeated here rule for rule, its oddities included: white space of the
macros' own lines, and defaults within comments. What they collect in a loop is lost where the loop ends, so that
alternatives are printed whatever they are. Reads prepared tools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chat_templates.tools import remembered, to_json

Schema = Mapping[str, Any]

_SIMPLE = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}
_MEMBER = "\n" + 16 * " "  # before the type of an object's property
_VARIANT = 20 * " "  # before the default of an alternative
_MAX_INNER = 50  # characters of an array's inner type that is still printed


@remembered
def namespace(tools: Sequence[Mapping[str, Any]]) -> str:
    """The namespace `functions` with one type a tool."""
    types = "".join(_function(tool.get("function") or tool) for tool in tools)
    return f"## functions\n\nnamespace functions {{\n\n{types}}} // namespace functions"


def _function(function: Mapping[str, Any]) -> str:
    head = f"// {function.get('description')}\ntype {function['name']} = "
    parameters = function.get("parameters") or {}
    properties = parameters.get("properties")
    if not properties:
        return f"{head}() => any;\n\n"
    required = parameters.get("required") or []
    lines = "".join(_parameter(name, schema, name in required) for name, schema in properties.items())
    return f"{head}(_: {{\n{lines}}}) => any;\n\n"


def _parameter(name: str, schema: Any, is_required: bool) -> str:
    schema = schema if isinstance(schema, Mapping) else {}
    comment = f"// {schema['description']}\n" if schema.get("description") else ""
    line = f"{comment}{name}{'' if is_required else '?'}: {_type(schema)}"
    if "default" in schema:
        if schema.get("enum"):
            line += f", // default: {schema['default']}"
        elif schema.get("oneOf"):
            line += f"// default: {schema['default']}"
        else:
            line += f", // default: {to_json(schema['default'])}"
    return f"{line},\n"


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    null = " | null" if schema.get("nullable") else ""
    if kind == "array":
        return _array(schema.get("items")) + null
    if isinstance(kind, list) and kind:
        return " | ".join(map(str, kind))
    if schema.get("oneOf"):
        return " | \n".join(map(_variant, schema["oneOf"]))
    if kind == "string":
        return '"' + '" | "'.join(map(str, schema["enum"])) + '"' if schema.get("enum") else f"string{null}"
    if kind == "object":
        return _object(schema)
    return _SIMPLE.get(kind, "any") if isinstance(kind, str) else "any"


def _array(items: Any) -> str:
    if not items:
        return "any[]"
    kind = items.get("type") if isinstance(items, Mapping) else None
    if isinstance(kind, str) and kind in _SIMPLE:
        return f"{_SIMPLE[kind]}[]"
    inner = _type(items)
    return "any[]" if inner == "object | object" or len(inner) > _MAX_INNER else f"{inner}[]"


def _variant(variant: Schema) -> str:
    comment = f"// {variant['description']}" if variant.get("description") else ""
    default = f"{_VARIANT}// default: {to_json(variant['default'])}" if "default" in variant else ""
    return _type(variant) + comment + default


def _object(schema: Schema) -> str:
    properties = schema.get("properties")
    if not properties:
        return "object"
    required = schema.get("required") or []
    members = (
        f"{name}{'' if name in required else '?'}: {_MEMBER}{_type(part if isinstance(part, Mapping) else {})}"
        for name, part in properties.items()
    )
    return "{\n" + ", ".join(members) + "}"
