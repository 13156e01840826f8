"""Arguments as Python prints them, as Lark rules: keyword arguments, and literals typed by the parameters' schema.

Knows JSON Schema and Lark's syntax; no tool. What Python's literals have no rule for (patterns, formats, conditions) is
left to llguidance's `%json`, since the reader of such calls takes JSON for a literal too. Law: `PythonArguments` reads
all that these rules allow, as arguments that fit the schema wherever the schema could be translated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chat_templates.lark.rules import LarkGrammar, quoted
from chat_templates.schema.keywords import ANNOTATIONS
from chat_templates.schema.parameters import one_line
from chat_templates.schema.references import references, resolve

_DEFINITIONS = ("$defs", "definitions")
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
}
_ESCAPED = r"\\[\"'\\nrt]"
_NOT_IN_NAMES = frozenset("()[]{}\"'\\,=:*\n\r\t")


def python_arguments(schema: Mapping[str, Any], grammar: LarkGrammar, *, objects_as_json: bool = False) -> str:
    """The rule of keyword arguments in declared order, from the first one to the closing parenthesis.

    `schema` is a closed arguments schema. Objects are dicts, or JSON where models were trained to that. A parameter
    whose name Python could not be told is left out; arguments whose schema is no list of parameters may have any names.
    """
    return _Literals(schema, grammar, objects_as_json=objects_as_json).arguments(schema)


class _Literals:
    def __init__(self, root: Mapping[str, Any], grammar: LarkGrammar, *, objects_as_json: bool) -> None:
        self._root = root
        self._objects_as_json = objects_as_json
        self._definitions = {key: root[key] for key in _DEFINITIONS if key in root}
        self._grammar = grammar
        self._referred: dict[str, str] = {}

    def arguments(self, schema: Mapping[str, Any]) -> str:
        keys = _constraints(schema)
        if keys == {"$ref"} and isinstance(target := resolve(self._root, schema["$ref"]), Mapping):
            return self.arguments(target) if target is not schema else self._free_arguments({})
        if _is_listed_object(schema):
            members = [
                (quoted(f"{name}="), self.value(part), name in schema.get("required", ()))
                for name, part in schema["properties"].items()
                if _can_be_told(name)
            ]
            return self._members(members, ")")
        others = schema.get("additionalProperties", True)
        return self._free_arguments(others if keys <= {"type", "additionalProperties"} else True)

    def _free_arguments(self, schema: Any) -> str:
        name = self._grammar.rule("KEYWORD", "/[A-Za-z_][A-Za-z0-9_]{0,63}/")
        argument = f'{name} "=" {self.value(schema)}'
        return self._grammar.numbered(f'{_listed(argument)} ")"')

    # --- values ------------------------------------------------------------------------------------------------------

    def value(self, schema: Any) -> str:
        """The rule of a literal that fits a schema."""
        if not isinstance(schema, Mapping):
            return self._any() if schema is True else self._json({"allOf": [schema]})
        keys = _constraints(schema)
        kind = schema.get("type")
        if not keys:
            rule = self._any()
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
        if kind == "boolean" and keys == {"type"}:
            rule = self._grammar.rule("python_bool", '"True" | "False"')
        elif kind == "null" and keys == {"type"}:
            rule = self._grammar.rule("python_none", '"None"')
        elif kind == "string" and keys <= {"type", "minLength", "maxLength"}:
            rule = self._string(schema.get("minLength", 0), schema.get("maxLength"))
        elif kind == "array" and keys <= {"type", "items", "minItems", "maxItems"}:
            rule = self._list(schema)
        elif kind == "object" and (_is_listed_object(schema) or keys <= {"type", "additionalProperties"}):
            rule = self._dict(schema)
        else:
            rule = self._json(schema)
        return rule

    def _list(self, schema: Mapping[str, Any]) -> str:
        item = self.value(schema.get("items", True))
        items = _listed(item, schema.get("minItems", 0), schema.get("maxItems"))
        return self._grammar.numbered(f'"[" {items} "]"')

    def _dict(self, schema: Mapping[str, Any]) -> str:
        if self._objects_as_json:
            return self._json(schema)
        if not _is_listed_object(schema):
            member = f'{self._string(0, None)} ": " {self.value(schema.get("additionalProperties", True))}'
            return self._grammar.numbered(f'"{{" {_listed(member)} "}}"')
        members = [
            (quoted(f"{name!r}: "), self.value(part), name in schema.get("required", ()))
            for name, part in schema["properties"].items()
        ]
        rest = self._members(members, "}")
        return self._grammar.numbered(f'"{{" {rest}')

    def _reference(self, reference: str) -> str:
        if reference not in self._referred:
            rule = self._grammar.numbered("")  # before its body is known: a schema may refer to itself
            self._referred[reference] = rule
            self._grammar.rule(rule, self.value(resolve(self._root, reference)))
        return self._referred[reference]

    def _either(self, schemas: Sequence[Any]) -> str:
        return self._grammar.numbered(" | ".join(map(self.value, schemas)))

    def _one_of(self, values: Iterable[Any]) -> str:
        """Exactly these values; strings in the quotes that the model prefers."""
        texts: dict[str, None] = {}
        for value in values:
            texts[repr(value)] = None
            if isinstance(value, str):
                texts[json.dumps(value, ensure_ascii=False)] = None
        return self._grammar.numbered(" | ".join(map(quoted, texts)))

    def _string(self, shortest: int, longest: int | None) -> str:
        count = "*" if not shortest and longest is None else f"{{{shortest},{'' if longest is None else longest}}}"
        single, double = (rf"{q}([^{q}\\\x00-\x1f\x7f]|{_ESCAPED}){count}{q}" for q in ("'", '"'))
        suffix = "" if count == "*" else f"_{shortest}_{'' if longest is None else longest}"
        return self._grammar.rule(f"PYTHON_STRING{suffix}", f"/{single}|{double}/")

    def _any(self) -> str:
        grammar = self._grammar
        string = self._string(0, None)
        number = grammar.rule("python_number", '%json {"type": "number"}')
        items = _listed("python_value")
        grammar.rule("python_list", f'"[" {items} "]"')
        member = f'{string} ": " python_value'
        as_json = '%json {"type": "object"}'
        grammar.rule("python_dict", as_json if self._objects_as_json else f'"{{" {_listed(member)} "}}"')
        return grammar.rule(
            "python_value", f'{string} | {number} | "True" | "False" | "None" | python_list | python_dict'
        )

    def _json(self, schema: Mapping[str, Any]) -> str:
        """A JSON value; any literal where the schema refers to what a part of it does not hold."""
        if any(
            not reference.startswith(tuple(f"#/{key}/" for key in _DEFINITIONS)) for reference in references(schema)
        ):
            return self._any()
        return self._grammar.json(one_line({**self._definitions, **schema}))

    def _members(self, members: Sequence[tuple[str, str, bool]], end: str) -> str:
        """Members (head, value, required) in order, optional ones left out or not, up to and including `end`.

        `more` is what may follow once a member was printed, `first` while none was.
        """
        add_rule = self._grammar.numbered
        first = more = add_rule(quoted(end))
        for head, value, is_required in reversed(members):
            with_first, with_more = f"{head} {value} {more}", f'", " {head} {value} {more}'
            first = add_rule(with_first if is_required else f"{with_first} | {first}")
            more = add_rule(with_more if is_required else f"{with_more} | {more}")
        return first


def _listed(item: str, shortest: int = 0, longest: int | None = None) -> str:
    """Items with commas between them, as part of a rule's body."""
    if longest == 0:
        return ""
    bounds = f"{{{max(shortest - 1, 0)},{'' if longest is None else longest - 1}}}"
    items = f'{item} (", " {item}){bounds}'
    return items if shortest else f"({items})?"


def _constraints(schema: Mapping[str, Any]) -> set[str]:
    return set(schema) - ANNOTATIONS - set(_DEFINITIONS)


def _is_listed_object(schema: Mapping[str, Any]) -> bool:
    """An object of which all properties are known by name and by their own schemas."""
    return (
        _constraints(schema) <= {"type", "properties", "required", "additionalProperties"}
        and isinstance(schema.get("properties"), Mapping)
        and schema.get("additionalProperties") is False
        and set(schema.get("required", ())) <= set(schema["properties"])
    )


def _can_be_told(name: str) -> bool:
    return bool(name) and name == name.strip() and not _NOT_IN_NAMES.intersection(name)


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
