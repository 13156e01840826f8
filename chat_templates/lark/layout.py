"""Arguments laid out over several lines, as Lark rules: indented by two, or spaced as the model likes.

llguidance's `%json` can print one line or leave white space open; it cannot indent. Small models often write a near
miss over several lines, and then want a line break where a one-line grammar has none: forbidden that, they add digits
to a number instead (seen as amounts of a hundred zeros). Both layouts are made of the same rules of values, each made
once for all tools: a schema of its own for each layout of each tool takes three times as long to compile.
Knows JSON Schema and Lark's syntax; no tool and no format.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from chat_templates.lark.rules import LarkGrammar, quoted
from chat_templates.schema.parameters import COMPOSITION, one_line, open_spaced, scalar
from chat_templates.schema.references import references

_SCALARS = frozenset({"string", "number", "integer", "boolean", "null"})


def indented_arguments(schema: Mapping[str, Any], grammar: LarkGrammar, *, depth: int) -> str:
    """The rule of an object as `json.dumps(…, indent=2)` prints it; its closing brace stands at this depth.

    `schema` is a closed arguments schema. Objects with listed properties are indented at every depth; scalars and lists
    of scalars stand on one line, as models write them; whatever else there is may be spaced as the model likes.
    """
    return _Indented(schema, grammar).value(schema, depth)


def open_arguments(schema: Mapping[str, Any], grammar: LarkGrammar) -> str:
    """The rule of an object with any white space that JSON allows, in moderation: a model may not idle in it."""
    return _Open(schema, grammar).value(schema, 0)


class _Layout(ABC):
    """Prints the parts of one schema, `root`."""

    def __init__(self, root: Mapping[str, Any], grammar: LarkGrammar) -> None:
        self._definitions = {key: root[key] for key in ("$defs", "definitions") if key in root}
        self._grammar = grammar
        # References to other places than the definitions would dangle in a part of the schema.
        self._is_divisible = all(ref.startswith(("#/$defs/", "#/definitions/")) for ref in references(root))

    @abstractmethod
    def before_first(self, depth: int) -> str:
        """What stands between an object's opening brace and its first key."""

    @abstractmethod
    def between(self, depth: int) -> str:
        """What stands between a member and the next key."""

    @abstractmethod
    def colon(self) -> str:
        """What stands between a key and its value."""

    @abstractmethod
    def closing(self, depth: int) -> str:
        """An object's closing brace after a member, and what stands before it."""

    @abstractmethod
    def empty(self) -> str:
        """What follows the opening brace of an object without members."""

    @abstractmethod
    def is_on_one_line(self, schema: Mapping[str, Any]) -> bool:
        """Whether values of this schema, no scalars, are printed on one line."""

    def value(self, schema: Any, depth: int) -> str:
        """The rule of a part of the schema."""
        if self._is_divisible and _is_listed_object(schema):
            return self._object(schema, depth)
        if not isinstance(schema, Mapping):
            return self._grammar.json(open_spaced({"allOf": [schema]}))
        if _is_scalar(schema):
            return self._grammar.json(scalar(schema))
        whole = {**self._definitions, **schema} if any(references(schema)) else schema
        return self._grammar.json(one_line(whole) if self.is_on_one_line(schema) else open_spaced(whole))

    def _object(self, schema: Mapping[str, Any], depth: int) -> str:
        """Members in declared order, optional ones left out or not: rules for each place a comma may stand."""
        rule, required = self._grammar.shared, set(schema.get("required", ()))
        more = rule(self.closing(depth))  # what may follow a member
        firsts: list[str] = []  # the members that may come first: all up to the first one that is required
        for i, (name, part) in reversed(list(enumerate(schema["properties"].items()))):
            key = quoted(json.dumps(name, ensure_ascii=False))
            member = rule(f"{key} {self.colon()} {self.value(part, depth + 1)} {more}")
            firsts = [member] if name in required else [member, *firsts]
            if i > 0:
                more = rule(f"{self.between(depth)} {member}" + ("" if name in required else f" | {more}"))
        members = f"{self.before_first(depth)} ({' | '.join(firsts)})" if firsts else ""
        empty = "" if required else self.empty()
        return rule(f'"{{" ({" | ".join(filter(None, (members, empty)))})')


class _Indented(_Layout):
    def before_first(self, depth: int) -> str:
        return quoted("\n" + "  " * (depth + 1))

    def between(self, depth: int) -> str:
        return quoted(",\n" + "  " * (depth + 1))

    def colon(self) -> str:
        return '": "'

    def closing(self, depth: int) -> str:
        return quoted("\n" + "  " * depth + "}")

    def empty(self) -> str:
        return '"}"'

    def is_on_one_line(self, schema: Mapping[str, Any]) -> bool:
        kind = schema.get("type")
        if kind == "array":
            items = schema.get("items")
            return isinstance(items, Mapping) and "prefixItems" not in schema and self.is_on_one_line(items)
        return _is_scalar(schema)


class _Open(_Layout):
    """White space in the moderation of `open_spaced`."""

    def before_first(self, depth: int) -> str:
        del depth
        return self._grammar.rule("OPEN_SPACE", r"/[ \n\t]{1,24}/") + "?"

    def between(self, depth: int) -> str:
        del depth
        return self._grammar.rule("OPEN_COMMA", r"/[ \n\t]{0,24},[ \n\t]{0,24}/")

    def colon(self) -> str:
        return self._grammar.rule("OPEN_COLON", r"/[ \n\t]{0,24}:[ \n\t]{0,24}/")

    def closing(self, depth: int) -> str:
        del depth
        return self._grammar.rule("OPEN_BRACE", r"/[ \n\t]{0,24}\}/")

    def empty(self) -> str:
        return self.closing(0)

    def is_on_one_line(self, schema: Mapping[str, Any]) -> bool:
        del schema
        return False


def _is_listed_object(schema: Any) -> bool:
    """An object of which all properties are known by name and by their own schemas."""
    return (
        isinstance(schema, Mapping)
        and schema.get("type") == "object"
        and isinstance(schema.get("properties"), Mapping)
        and schema.get("additionalProperties") is False
        and set(schema.get("required", ())) <= set(schema["properties"])
        and not any(
            key in schema for key in (*COMPOSITION, "enum", "const", "maxProperties", "not", "dependentRequired")
        )
    )


def _is_scalar(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return set(kind if isinstance(kind, list) else [kind]) <= _SCALARS
