"""Tools as the TypeScript namespace that MeetKai's Functionary v2, v2.5 and v3.2 read.

Knows JSON Schema's shape and a layout; no template and no message. Law: the layout is an interface that models were
trained on, so it is reproduced with its oddities (empty types, Python's spelling of defaults, doubled indentation).
Source: MeetKai/functionary, `json_to_ts_schema.txt` and `schema.py`. Descriptions are printed as they are: a line break
in one breaks its comment, there as here. Null stands for an absent description or format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chat_templates.tools import remembered

Schema = Mapping[str, Any]

_INDENT = "    "
_LIMITS = {
    "maximum": "Maximum",
    "minimum": "Minimum",
    "maxLength": "Maximum length",
    "minLength": "Minimum length",
}


@remembered
def typescript_namespace(tools: Sequence[Mapping[str, Any]] | None) -> str:
    """The namespace `functions` with one type a tool. Tools without a name (code interpreters) are left out."""
    functions = (tool.get("function") or tool for tool in tools or ())
    types = "".join(_function(function) for function in functions if function.get("name"))
    head = "// Supported function definitions that should be called when necessary.\nnamespace functions {\n\n"
    return f"{head}{types}}} // namespace functions"


def _function(function: Mapping[str, Any]) -> str:
    parameters = function.get("parameters") or {}
    properties = parameters.get("properties")
    head = f"// {_known(function, 'description')}\ntype {function['name']} = "
    if not properties:
        return f"{head}() => any;\n\n"
    return f"{head}(_: {{{_properties(parameters, 0)}\n}}) => any;\n\n"


def _known(schema: Schema, key: str) -> str:
    value = schema.get(key)
    return "" if value is None else str(value)


# --- properties ------------------------------------------------------------------------------------------------------


def _properties(parent: Schema, depth: int) -> str:
    """The properties of an object, each on lines of its own that begin with a line break."""
    properties = parent.get("properties")
    if not isinstance(properties, Mapping):
        return ""
    required = parent.get("required", ())
    lines = []
    for name, schema in properties.items():
        if isinstance(schema, Mapping):
            is_optional = isinstance(required, list | tuple) and name not in required
            lines.append(_property(name, f"{name}?" if is_optional else name, schema, depth))
    return "".join(lines)


def _property(name: str, declared: str, schema: Schema, depth: int) -> str:
    line = "\n" + _INDENT * depth
    kind = _type(schema)
    is_typed_array = kind == "array" and "type" in _items(schema)
    comment = _comment(schema)
    lead = line + comment if comment else ""
    if comment or kind == "object" or is_typed_array:
        lead += "".join(f"{line}// {example}" for example in _examples(name, schema))
    if kind == "object":
        return f"{lead}{line}{declared}: {{{_properties(schema, depth + 1)}{line}}},"
    if is_typed_array:
        return f"{lead}{line}{declared}: {_array(schema, depth)},"
    if kind == "array":
        return f"{lead}{line}{declared}: [],"
    if "enum" in schema:
        kind = _options(schema["enum"])
    if schema.get("nullable"):
        kind += " | null"
    return f"{lead}{line}{declared}: {kind},"


def _examples(name: str, schema: Schema) -> list[str]:
    examples = schema.get("examples")
    if not isinstance(examples, list):
        return []
    return [str(example).replace("'", '"') for example in (f"Example {name}:", *examples)]


# --- comments --------------------------------------------------------------------------------------------------------


def _comment(schema: Schema) -> str:
    """The comment of a property, "" for none. Limits alone make one only if one of them is not zero."""
    description = schema.get("description")
    formats = _formats(schema)
    has_limit = any(schema.get(key) for key in _LIMITS)
    if description is None and "default" not in schema and formats is None and not has_limit:
        return ""
    comment = "//"
    if description is not None:
        text = str(description)
        comment += f" {text}" if text.endswith(".") else f" {text}."
    if "default" in schema:
        default = schema["default"]
        comment += f' Default="{default}".' if schema.get("type") == "string" else f" Default={default}."
    if formats is not None:
        comment += f" Format={formats}"
    return comment + "".join(f" {title}={schema[key]}" for key, title in _LIMITS.items() if key in schema)


def _formats(schema: Schema) -> str | None:
    """The format, or those of a `oneOf` joined by "or"; None if neither key is there."""
    if schema.get("format") is not None:
        return str(schema["format"])
    if "oneOf" not in schema:
        return None
    items = _alternatives(schema)
    last = items[-1].get("format") if items else None
    formats = [item["format"] for item in items if item.get("format") is not None]
    return "".join(f"{each}" if each == last else f"{each} or " for each in formats)


# --- types -----------------------------------------------------------------------------------------------------------


def _type(schema: Schema) -> str:
    """The type as it is printed, "" for a schema that does not name one. Of several types none is converted."""
    if "type" in schema:
        kind = schema["type"]
        text = " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
    else:
        distinct: dict[str, str] = {}
        for item in _alternatives(schema):
            if "type" in item:
                distinct.setdefault(str(item["type"]).lower(), str(item["type"]))
        text = " | ".join(distinct.values())
    return "number" if text in ("integer", "float") else text


def _alternatives(schema: Schema) -> list[Schema]:
    one_of = schema.get("oneOf")
    return [item for item in one_of if isinstance(item, Mapping)] if isinstance(one_of, list) else []


def _options(enum: Any) -> str:
    """The values of an enum. As in the source, nothing separates a value that equals the last one from the next."""
    options = enum if isinstance(enum, list) else []
    texts = (f'"{option}"' if isinstance(option, str) else str(option) for option in options)
    return "".join(text if option == options[-1] else f"{text} | " for option, text in zip(options, texts, strict=True))


def _items(schema: Schema) -> Schema:
    items = schema.get("items")
    return items if isinstance(items, Mapping) else {}


def _array(schema: Schema, depth: int) -> str:
    """The type of an array; the properties of objects in it stand one level deeper for each array around them."""
    items = _items(schema)
    if not items:
        return "[]"
    kind = _type(items)
    if kind == "object":
        return f"{{{_properties(items, depth + 1)}\n{_INDENT * depth}}}[]"
    if kind == "array":
        return f"{_array(items, depth + 1)}[]"
    return f"({_options(items['enum'])})[]" if "enum" in items else f"{kind}[]"
