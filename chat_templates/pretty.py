"""Arguments as `json.dumps(…, indent=2)` prints them, as Lark rules with every line break and space forced.

llguidance's `%json` can print one line or leave white space open; it cannot indent. Small models often write a near
miss over several lines, and then want a line break where a one-line grammar has none: forbidden that, they add digits
to a number instead (seen as amounts of a hundred zeros). Knows JSON Schema and Lark's syntax; no tool and no format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from chat_templates.references import references
from chat_templates.schema import COMPOSITION, one_line, open_spaced

AddRule = Callable[[str], str]
"""Adds a rule with this body to a grammar and returns its name."""

_SCALARS = frozenset({"string", "number", "integer", "boolean", "null"})


def pretty_arguments(schema: Mapping[str, Any], add_rule: AddRule, *, indent: int) -> str:
    """The rule of an object whose closing brace stands `indent` spaces from the left.

    `schema` is a closed arguments schema. Objects with listed properties are indented at every depth; scalars and lists
    of scalars stand on one line, as models write them; whatever else there is may be spaced as the model likes.
    """
    return _Printer(schema, add_rule).value(schema, indent)


class _Printer:
    def __init__(self, root: Mapping[str, Any], add_rule: AddRule) -> None:
        self._definitions = {key: root[key] for key in ("$defs", "definitions") if key in root}
        self._add_rule = add_rule
        self._rules: dict[str, str] = {}
        # References to other places than the definitions would dangle in a part of the schema.
        self._is_whole = any(not ref.startswith(("#/$defs/", "#/definitions/")) for ref in references(root))

    def value(self, schema: Any, indent: int) -> str:
        if not self._is_whole and _is_listed_object(schema):
            return self._object(schema, indent)
        if not isinstance(schema, Mapping):
            return self._json(open_spaced({"allOf": [schema]}))
        whole = {**self._definitions, **schema}
        return self._json(one_line(whole) if _stands_on_one_line(schema) else open_spaced(whole))

    def _json(self, schema: Mapping[str, Any]) -> str:
        body = "%json " + json.dumps(schema, ensure_ascii=False)
        if body not in self._rules:
            self._rules[body] = self._add_rule(body)
        return self._rules[body]

    def _object(self, schema: Mapping[str, Any], indent: int) -> str:
        """Members in declared order, optional ones left out or not: one rule for each place a comma may stand.

        `more` is what may follow once a member was printed, `first` while none was.
        """
        line = "\n" + " " * (indent + 2)
        required = set(schema.get("required", ()))
        members = [
            (name, f"{_quoted(json.dumps(name, ensure_ascii=False) + ': ')} {self.value(part, indent + 2)}")
            for name, part in schema["properties"].items()
        ]
        more = self._add_rule(_quoted("\n" + " " * indent + "}"))
        first = self._add_rule('"}"')
        for name, member in reversed(members):
            if name in required:
                first = self._add_rule(f"{_quoted(line)} {member} {more}")
                more = self._add_rule(f"{_quoted(',' + line)} {member} {more}")
            else:
                first = self._add_rule(f"{_quoted(line)} {member} {more} | {first}")
                more = self._add_rule(f"{_quoted(',' + line)} {member} {more} | {more}")
        return self._add_rule(f'"{{" {first}')


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


def _stands_on_one_line(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        return isinstance(items, Mapping) and "prefixItems" not in schema and _stands_on_one_line(items)
    kinds = kind if isinstance(kind, list) else [kind]
    return set(kinds) <= _SCALARS


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
