"""Members between braces, texts between a quote of their own, as Lark rules: `{city:<|"|>Rome<|"|>,days:3}`.

Knows JSON Schema and Lark's syntax; no tool. Keys stand in alphabetical order, as the format's history has them. A text
is free but for its length; what this format has no rule for (patterns, conditions) is any value, and is checked when
the call is complete. Law: `MemberList` reads all that these rules allow, as arguments of the types that the schema
names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from chat_templates.lark.literals import Literals, constraints, is_listed_object
from chat_templates.lark.rules import LarkGrammar, lark_regex
from chat_templates.schema.parameters import one_line
from chat_templates.schema.references import resolve

_MAX_COUNTED = 256  # characters: longer texts are free here
_NUMBERS = frozenset({"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_NOT_IN_KEYS = frozenset(":,{}[]\n")


def member_list(schema: Mapping[str, Any], grammar: LarkGrammar, quote: str) -> str:
    """The rule of arguments, braces included. `schema` is a closed arguments schema, `quote` stands around texts."""
    members = _Members(schema, grammar, quote)
    target = resolve(schema, schema["$ref"]) if constraints(schema) == {"$ref"} else schema
    if isinstance(target, Mapping) and (is_listed_object(target) or constraints(target) <= {"type"}):
        return members.object(target)
    return members.free()


class _Members(Literals):
    comma: ClassVar[str] = ","
    constants: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"boolean": ("true", "false"), "null": ("None", "null")}
    )

    def __init__(self, root: Mapping[str, Any], grammar: LarkGrammar, quote: str) -> None:
        super().__init__(root, grammar)
        self._quote = quote

    def free(self) -> str:
        """The rule of an object of which nothing is known."""
        return self.grammar.numbered(f'"{{" {self.free_object(self.any_value())}')

    def members_of(self, schema: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """See `Literals.members_of`. A key that the format cannot tell is left out."""
        listed = sorted(schema["properties"].items(), key=lambda member: member[0].lower())
        return [(name, part) for name, part in listed if not _NOT_IN_KEYS.intersection(name)]

    def key(self, name: str) -> str:
        """See `Literals.key`."""
        return f"{name}:"

    def free_object(self, values: str) -> str:
        """See `Literals.free_object`."""
        name = self.grammar.rule("MEMBER", "/[A-Za-z_][A-Za-z0-9_]{0,63}:/")
        return f'{self.listed(f"{name} {values}")} "}}"'

    def spellings(self, value: Any) -> Iterable[str]:
        """See `Literals.spellings`."""
        if isinstance(value, str):
            return (f"{self._quote}{value}{self._quote}",)
        return ("None", "null") if value is None else (json.dumps(value),)

    def string(self, shortest: int, longest: int | None) -> str:
        """See `Literals.string`."""
        is_counted = longest is not None and shortest <= longest <= _MAX_COUNTED
        count = f"{{{shortest},{longest}}}" if is_counted else "*"
        grammar = self.grammar

        def make() -> str:
            if self._quote in grammar.special_tokens:
                text = grammar.shared(rf"/(.|\n){count}/")
                return grammar.numbered(f"{grammar.literal(self._quote)} {text} {grammar.literal(self._quote)}")
            rest = grammar.numbered(rf"/(.|\n){count}{lark_regex(self._quote)}/", options="[lazy]")
            return grammar.numbered(f"{grammar.literal(self._quote)} {rest}")

        return grammar.once(f"text of {count} between quotes", make)

    def any_value(self) -> str:
        """See `Literals.any_value`."""
        grammar, string = self.grammar, self.string(0, None)
        number = grammar.rule("member_number", '%json {"type": "number"}')
        name = grammar.rule("MEMBER", "/[A-Za-z_][A-Za-z0-9_]{0,63}:/")
        grammar.rule("member_list", f'"[" {self.listed("member_value")} "]"')
        grammar.rule("member_object", f'"{{" {self.listed(f"{name} member_value")} "}}"')
        words = '"true" | "false" | "None" | "null"'
        return grammar.rule("member_value", f"{string} | {number} | {words} | member_list | member_object")

    def others(self, schema: Mapping[str, Any]) -> str:
        """See `Literals.others`: numbers within their bounds, texts of a pattern as any text, else any value."""
        if schema.get("type") in ("number", "integer") and constraints(schema) <= _NUMBERS:
            return self.grammar.json(one_line(schema))
        return self.string(0, None) if schema.get("type") == "string" else self.any_value()
