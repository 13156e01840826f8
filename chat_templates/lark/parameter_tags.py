r"""Arguments as tags of parameters, as Lark rules: `<parameter=city>\nRome\n</parameter>\n`, in declared order.

Knows JSON Schema and Lark's syntax; no tool. A text stands as it is, up to the line with the end tag; a choice of texts
is a choice of literals; everything else is JSON. Texts with a pattern, a format or a great length, and values that may
be a text or something else, are free text here: they are checked when the call is complete. Law: `read_function` reads
all that these rules allow, as arguments of the types that the schema names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat_templates.lark.rules import LarkGrammar, quoted
from chat_templates.schema.parameters import one_line
from chat_templates.schema.references import references, resolve
from chat_templates.schema.types import types_of

_DEFINITIONS = ("$defs", "definitions")
_MAX_COUNTED = 256  # characters: longer texts are free here
_END = "\n</parameter>\n"
_WORDS = {"boolean": ("True", "False"), "null": ("None",)}  # as templates print them into history


def parameter_tags(schema: Mapping[str, Any], grammar: LarkGrammar) -> str:
    """The rule of all parameters of a closed arguments schema. One whose name a tag cannot hold is left out."""
    root = schema
    if "$ref" in schema and "properties" not in schema:
        try:
            schema = resolve(root, schema["$ref"])
        except LookupError:
            schema = {}
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return _free(grammar)
    required = schema.get("required", ())
    parts = [
        _parameter(name, part, root, grammar) + ("" if name in required else "?")
        for name, part in properties.items()
        if not set(name) & set("<>\n")
    ]
    return grammar.shared(" ".join(parts) or '""')


def _parameter(name: str, schema: Any, root: Mapping[str, Any], grammar: LarkGrammar) -> str:
    return grammar.shared(f"{quoted(f'<parameter={name}>' + chr(10))} {_value(schema, root, grammar)}")


def _free(grammar: LarkGrammar) -> str:
    """Parameters of any name, each a text."""
    name = grammar.rule("PARAMETER", r"/<parameter=[A-Za-z_][A-Za-z0-9_.-]{0,63}>\n/")
    return grammar.shared(f"({name} {_text(grammar)}){{0,64}}")


def _value(schema: Any, root: Mapping[str, Any], grammar: LarkGrammar) -> str:
    types = types_of(schema, root)
    if types is None or not isinstance(schema, Mapping):
        return _text(grammar)
    if "string" in types:
        texts = _choice(schema, root)
        return f"({' | '.join(map(quoted, texts))}) {quoted(_END)}" if texts else _text(grammar, _length(schema, types))
    definitions = {key: root[key] for key in _DEFINITIONS if key in root} if any(references(schema)) else {}
    json = grammar.json(one_line({**definitions, **schema}))
    words = [quoted(word) for kind in sorted(types & _WORDS.keys()) for word in _WORDS[kind]]
    if "const" in schema or "enum" in schema:
        words = []
    return f"({' | '.join((json, *words))}) {quoted(_END)}"


def _choice(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[str]:
    """The texts of which a value is one; empty where it may be something else."""
    if "$ref" in schema and len(schema) == 1:
        try:
            schema = resolve(root, schema["$ref"])
        except LookupError:
            return []
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or not all(isinstance(value, str) and _stands(value) for value in values):
        return []
    return values


def _stands(text: str) -> bool:
    """Whether a text between tags reads as itself."""
    return "</parameter>" not in text


def _length(schema: Mapping[str, Any], types: frozenset[str]) -> str:
    """How many characters a text has, as a repetition: any number, unless the schema names a small one."""
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    is_small = isinstance(least, int) and isinstance(most, int) and least <= most <= _MAX_COUNTED
    return f"{{{least},{most}}}" if is_small and types == frozenset({"string"}) else "*"


def _text(grammar: LarkGrammar, length: str = "*") -> str:
    def make() -> str:
        text = grammar.numbered(rf"/(.|\n){length}\n<\/parameter>/", options="[lazy]")
        return grammar.numbered(f'{text} "\\n"')

    return grammar.once(f"text of {length} up to the end tag", make)
