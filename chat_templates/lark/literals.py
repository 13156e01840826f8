"""Values of a schema as literals of some language, as Lark rules: what these languages have in common.

Knows JSON Schema and Lark's syntax; no tool and no language: how a key, a text or a constant is written, its subclasses
say. What a language has no rule for (patterns, formats, conditions) is theirs to decide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from chat_templates.lark.rules import LarkGrammar, quoted
from chat_templates.schema.keywords import ANNOTATIONS
from chat_templates.schema.references import resolve

DEFINITIONS = ("$defs", "definitions")
_TYPES: Mapping[str, type | tuple[type, ...]] = MappingProxyType(
    {
        "null": type(None),
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "string": str,
        "array": list,
        "object": dict,
    }
)


class Literals(ABC):
    """The rules of one tool's values. `root` is its closed arguments schema."""

    comma: ClassVar[str] = ", "
    constants: ClassVar[Mapping[str, tuple[str, ...]]]
    """How the values of "boolean" and "null" are written."""

    def __init__(self, root: Mapping[str, Any], grammar: LarkGrammar) -> None:
        self.root = root
        self.grammar = grammar
        self.definitions = {key: root[key] for key in DEFINITIONS if key in root}
        self._referred: dict[str, str] = {}

    # --- the language ------------------------------------------------------------------------------------------------

    @abstractmethod
    def key(self, name: str) -> str:
        """A key of an object and what stands before its value."""

    @abstractmethod
    def string(self, shortest: int, longest: int | None) -> str:
        """The rule of texts of this many characters."""

    @abstractmethod
    def spellings(self, value: Any) -> Iterable[str]:
        """The texts that are this value."""

    @abstractmethod
    def any_value(self) -> str:
        """The rule of any literal."""

    @abstractmethod
    def others(self, schema: Mapping[str, Any]) -> str:
        """The rule of values whose schema has keywords that no rule here holds."""

    @abstractmethod
    def free_object(self, values: str) -> str:
        """The rule of objects with any keys, after their opening brace."""

    def members_of(self, schema: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """The properties that are written, in their order."""
        return list(schema["properties"].items())

    # --- values ------------------------------------------------------------------------------------------------------

    def value(self, schema: Any) -> str:
        """The rule of a literal that fits a schema."""
        if not isinstance(schema, Mapping):
            return self.any_value() if schema is True else self.others({"allOf": [schema]})
        keys = constraints(schema)
        kind = schema.get("type")
        if not keys:
            rule = self.any_value()
        elif keys == {"$ref"}:
            rule = self._reference(schema["$ref"])
        elif "enum" in keys and keys <= {"type", "enum"}:
            rule = self._one_of(_that_fit(kind, schema["enum"]))
        elif "const" in keys and keys <= {"type", "const"}:
            rule = self._one_of([schema["const"]])
        elif keys in ({"anyOf"}, {"oneOf"}):
            rule = self._either(schema[next(iter(keys))])
        elif isinstance(kind, list):
            rule = self._either([{**schema, "type": one} for one in kind])
        else:
            rule = self._typed(kind, schema, keys)
        return rule

    def _typed(self, kind: Any, schema: Mapping[str, Any], keys: set[str]) -> str:
        if kind in self.constants and keys == {"type"}:
            rule = self.grammar.shared(" | ".join(map(quoted, self.constants[kind])))
        elif kind == "string" and keys <= {"type", "minLength", "maxLength"}:
            rule = self.string(schema.get("minLength", 0), schema.get("maxLength"))
        elif kind == "array" and keys <= {"type", "items", "minItems", "maxItems"}:
            rule = self._list(schema)
        elif kind == "object" and (is_listed_object(schema) or keys <= {"type", "additionalProperties"}):
            rule = self.object(schema)
        else:
            rule = self.others(schema)
        return rule

    def _list(self, schema: Mapping[str, Any]) -> str:
        item = self.value(schema.get("items", True))
        items = self.listed(item, schema.get("minItems", 0), schema.get("maxItems"))
        return self.grammar.numbered(f'"[" {items} "]"')

    def object(self, schema: Mapping[str, Any]) -> str:
        """The rule of an object that lists its keys or leaves them open."""
        if not is_listed_object(schema):
            rest = self.free_object(self.value(schema.get("additionalProperties", True)))
        else:
            required = schema.get("required", ())
            members = [
                (quoted(self.key(name)), self.value(part), name in required) for name, part in self.members_of(schema)
            ]
            rest = self.members(members, "}")
        return self.grammar.numbered(f'"{{" {rest}')

    def _reference(self, reference: str) -> str:
        if reference not in self._referred:
            rule = self.grammar.numbered("")  # before its body is known: a schema may refer to itself
            self._referred[reference] = rule
            self.grammar.rule(rule, self.value(resolve(self.root, reference)))
        return self._referred[reference]

    def _either(self, schemas: Sequence[Any]) -> str:
        return self.grammar.numbered(" | ".join(map(self.value, schemas)))

    def _one_of(self, values: Iterable[Any]) -> str:
        """Exactly these values."""
        texts = dict.fromkeys(text for value in values for text in self.spellings(value))
        return self.grammar.numbered(" | ".join(map(self.grammar.literal, texts)))

    # --- several -----------------------------------------------------------------------------------------------------

    def members(self, members: Sequence[tuple[str, str, bool]], end: str) -> str:
        """Members (head, value, required) in order, optional ones left out or not, up to and including `end`.

        `more` is what may follow once a member was printed, `first` while none was.
        """
        add_rule, comma = self.grammar.numbered, quoted(self.comma)
        first = more = add_rule(quoted(end))
        for head, value, is_required in reversed(members):
            with_first, with_more = f"{head} {value} {more}", f"{comma} {head} {value} {more}"
            first = add_rule(with_first if is_required else f"{with_first} | {first}")
            more = add_rule(with_more if is_required else f"{with_more} | {more}")
        return first

    def listed(self, item: str, shortest: int = 0, longest: int | None = None) -> str:
        """Items with commas between them, as part of a rule's body."""
        if longest == 0:
            return ""
        bounds = f"{{{max(shortest - 1, 0)},{'' if longest is None else longest - 1}}}"
        items = f"{item} ({quoted(self.comma)} {item}){bounds}"
        return items if shortest else f"({items})?"


def constraints(schema: Mapping[str, Any]) -> set[str]:
    """The keywords of a schema that say what fits it."""
    return set(schema) - ANNOTATIONS - set(DEFINITIONS)


def is_listed_object(schema: Mapping[str, Any]) -> bool:
    """An object of which all properties are known by name and by their own schemas."""
    return (
        constraints(schema) <= {"type", "properties", "required", "additionalProperties"}
        and isinstance(schema.get("properties"), Mapping)
        and schema.get("additionalProperties") is False
        and set(schema.get("required", ())) <= set(schema["properties"])
    )


def _that_fit(kinds: Any, values: Iterable[Any]) -> list[Any]:
    """The values of an enumeration that are of a type of these kinds, or all if none is given."""
    if kinds is None:
        return list(values)
    names = kinds if isinstance(kinds, list) else [kinds]
    return [
        value
        for value in values
        if any(isinstance(value, _TYPES[name]) and isinstance(value, bool) == (name == "boolean") for name in names)
    ]
