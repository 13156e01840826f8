"""A tool as Hermes-2-Pro's `tool_use` template describes it: a Python signature with a docstring.

Source: the template published with NousResearch/Hermes-2-Pro-Llama-3-8B, whose printed text is reproduced with its
quirks (every array is `list[Union[]]`), since the models were trained on such prompts. One departure: a type name that
JSON Schema does not know makes that template recurse without end; here it prints as if there were none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BASIC = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"}
_NONE = "Union[]"  # what the template prints for whatever it does not recognise


def signature(function: Mapping[str, Any]) -> str:
    """The text of a tool's description: signature, description and arguments. Not escaped for JSON."""
    parameters = function.get("parameters") or {}
    properties: Mapping[str, Any] = parameters.get("properties") or {}
    arguments = ", ".join(f"{name}: {python_type(schema)}" for name, schema in properties.items())
    result = function.get("return")
    arrow = f" -> {python_type(result)}" if result is not None else ""
    text = f"{function['name']}({arguments}){arrow} - {function['description']}\n\n"
    if properties:
        lines = [
            f"        {name}({python_type(schema)}): {_description(schema)}" for name, schema in properties.items()
        ]
        text += "    Args:\n" + "".join(lines)
    if isinstance(result, Mapping) and result.get("description") is not None:
        text += f"\n    Returns:\n        {result['description']}"
    return text


def python_type(schema: Any) -> str:
    """The Python type that the template prints for a schema."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(kind, list):
        return "Union[" + ",".join(python_type({"type": k}) for k in kind) + "]"
    if kind == "array":
        return f"list[{_NONE}]"
    if kind == "object":
        return (
            f"dict[str, {python_type(schema['additionalProperties'])}]" if "additionalProperties" in schema else "dict"
        )
    return _BASIC.get(kind, _NONE) if isinstance(kind, str) else _NONE


def _description(schema: Any) -> str:
    description = schema.get("description") if isinstance(schema, Mapping) else None
    return str(description).strip() if description is not None else ""
