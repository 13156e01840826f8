r"""Arguments as tags of parameters, as Lark rules: `<parameter=city>\nRome\n</parameter>\n`, in declared order.

Knows JSON Schema, Lark's syntax and how tags are spelled; no tool. A text stands as it is, up to the end tag; a choice
of texts is a choice of literals; everything else is JSON, or Python where a template prints it so. Texts with a
pattern, a format or a great length, and values that may be a text or something else, are free text here: they are
checked when the call is complete. Law: `read_function` reads all that these rules allow, as arguments of the types that
the schema names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chat_templates.lark.python import python_value
from chat_templates.lark.rules import LarkGrammar, lark_regex, quoted
from chat_templates.readers.function_tag import TagSpelling
from chat_templates.schema.parameters import one_line
from chat_templates.schema.references import references, resolve
from chat_templates.schema.types import types_of

_DEFINITIONS = ("$defs", "definitions")
_MAX_COUNTED = 256  # characters: longer texts are free here
_WORDS = {"boolean": ("True", "False"), "null": ("None",)}  # as templates print them into history
_NAME = "[A-Za-z_][A-Za-z0-9_.-]{0,63}"


def parameter_tags(schema: Mapping[str, Any], grammar: LarkGrammar, spelling: TagSpelling) -> str:
    """The rule of all parameters of a closed arguments schema. One whose name a tag cannot hold is left out."""
    return _ParameterTags(schema, grammar, spelling).all()


@dataclass(slots=True)
class _ParameterTags:
    root: Mapping[str, Any]
    grammar: LarkGrammar
    spelling: TagSpelling
    end: str = field(init=False)

    def __post_init__(self) -> None:
        self.end = self.spelling.newline + self.spelling.end + self.spelling.newline

    def all(self) -> str:
        schema = self.root
        if "$ref" in schema and "properties" not in schema:
            try:
                schema = resolve(self.root, schema["$ref"])
            except LookupError:
                schema = {}
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return self.free()
        required = schema.get("required", ())
        parts = [
            self.parameter(name, part) + ("" if name in required else "?")
            for name, part in properties.items()
            if not set(name) & set("<>\n\"'")
        ]
        return self.grammar.shared(" ".join(parts) or '""')

    def parameter(self, name: str, schema: Any) -> str:
        head = self.spelling.opening + name + self.spelling.close + self.spelling.newline
        return self.grammar.shared(f"{quoted(head)} {self.value(schema)}")

    def free(self) -> str:
        """Parameters of any name, each a text."""
        before, behind = lark_regex(self.spelling.opening), lark_regex(self.spelling.close + self.spelling.newline)
        name = self.grammar.rule("PARAMETER", f"/{before}{_NAME}{behind}/")
        return self.grammar.shared(f"({name} {self.text()}){{0,64}}")

    # --- values ------------------------------------------------------------------------------------------------------

    def value(self, schema: Any) -> str:
        """The rule of a value and of the tag that ends it."""
        types = types_of(schema, self.root)
        if types is None or not isinstance(schema, Mapping):
            return self.text()
        if "string" in types:
            texts = self.choice(schema)
            return f"({' | '.join(map(self.literal, texts))})" if texts else self.text(_length(schema, types))
        referred = any(references(schema))
        definitions = {key: self.root[key] for key in _DEFINITIONS if key in self.root} if referred else {}
        values = [self.grammar.json(one_line({**definitions, **schema}))]
        if "const" not in schema and "enum" not in schema:
            values += [quoted(word) for kind in sorted(types & _WORDS.keys()) for word in _WORDS[kind]]
        if self.spelling.raw and types & {"array", "object"}:
            values.append(python_value(schema, self.root, self.grammar))
        return f"({' | '.join(values)}) {quoted(self.end)}"

    def choice(self, schema: Mapping[str, Any]) -> list[str]:
        """The texts of which a value is one; empty where it may be something else."""
        if "$ref" in schema and len(schema) == 1:
            try:
                schema = resolve(self.root, schema["$ref"])
            except LookupError:
                return []
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            return []
        return [] if any(self.spelling.end in value for value in values) else values

    def literal(self, text: str) -> str:
        """One text and the tag that ends it."""
        raw = self.spelling.raw
        return quoted(f"{raw[0]}{text}{raw[1]}{self.end}" if raw and is_raw(text) else text + self.end)

    def text(self, length: str = "*") -> str:
        """The rule of texts of this length and of the tag that ends them."""
        return self.grammar.once(f"text of {length} up to the end tag", lambda: self._text(length))

    def _text(self, length: str) -> str:
        newline, raw = self.spelling.newline, self.spelling.raw
        if raw is None:
            upto = lark_regex(newline + self.spelling.end)
            text = self.grammar.numbered(rf"/(.|\n){length}{upto}/", options="[lazy]")
            return self.grammar.numbered(f"{text} {quoted(newline)}")
        plain = self.grammar.numbered(rf"/[^<&\n]{length}{lark_regex(self.end)}/")
        upto = lark_regex(raw[1] + self.end)
        between = self.grammar.numbered(rf"/(.|\n){length}{upto}/", options="[lazy]")
        return self.grammar.numbered(f"{plain} | {quoted(raw[0])} {between}")


def is_raw(text: str) -> bool:
    """Whether a text stands between `TagSpelling.raw`, where tags have that."""
    return not set(text).isdisjoint("<&\n")


def _length(schema: Mapping[str, Any], types: frozenset[str]) -> str:
    """How many characters a text has, as a repetition: any number, unless the schema names a small one."""
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    is_small = isinstance(least, int) and isinstance(most, int) and least <= most <= _MAX_COUNTED
    return f"{{{least},{most}}}" if is_small and types == frozenset({"string"}) else "*"
