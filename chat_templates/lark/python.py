"""Arguments as Python prints them, as Lark rules: keyword arguments, and literals typed by the parameters' schema.

Knows JSON Schema and Lark's syntax; no tool. What Python's literals have no rule for (patterns, formats, conditions) is
left to llguidance's `%json`, since the reader of such calls takes JSON for a literal too. Law: `PythonArguments` reads
all that these rules allow, as arguments that fit the schema wherever the schema could be translated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from chat_templates.lark.literals import DEFINITIONS, Literals, constraints, is_listed_object
from chat_templates.lark.rules import LarkGrammar, quoted
from chat_templates.schema.parameters import one_line
from chat_templates.schema.references import references, resolve

_ESCAPED = r"\\[\"'\\nrt]"
_NOT_IN_NAMES = frozenset("()[]{}\"'\\,=:*\n\r\t")


def python_arguments(schema: Mapping[str, Any], grammar: LarkGrammar, *, objects_as_json: bool = False) -> str:
    """The rule of keyword arguments in declared order, from the first one to the closing parenthesis.

    `schema` is a closed arguments schema. Objects are dicts, or JSON where models were trained to that. A parameter
    whose name Python could not be told is left out; arguments whose schema is no list of parameters may have any names.
    """
    return _PythonLiterals(schema, grammar, objects_as_json=objects_as_json).arguments(schema)


def python_value(schema: Any, root: Mapping[str, Any], grammar: LarkGrammar) -> str:
    """The rule of one literal that fits a schema whose references lead into `root`."""
    return _PythonLiterals(root, grammar, objects_as_json=False).value(schema)


class _PythonLiterals(Literals):
    constants: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"boolean": ("True", "False"), "null": ("None",)}
    )

    def __init__(self, root: Mapping[str, Any], grammar: LarkGrammar, *, objects_as_json: bool) -> None:
        super().__init__(root, grammar)
        self._objects_as_json = objects_as_json

    def arguments(self, schema: Mapping[str, Any]) -> str:
        """The rule of keyword arguments and the parenthesis behind them."""
        keys = constraints(schema)
        if keys == {"$ref"} and isinstance(target := resolve(self.root, schema["$ref"]), Mapping):
            return self.arguments(target) if target is not schema else self._free_arguments({})
        if is_listed_object(schema):
            members = [
                (quoted(f"{name}="), self.value(part), name in schema.get("required", ()))
                for name, part in schema["properties"].items()
                if _can_be_told(name)
            ]
            return self.members(members, ")")
        others = schema.get("additionalProperties", True)
        return self._free_arguments(others if keys <= {"type", "additionalProperties"} else True)

    def _free_arguments(self, schema: Any) -> str:
        name = self.grammar.rule("KEYWORD", "/[A-Za-z_][A-Za-z0-9_]{0,63}/")
        argument = f'{name} "=" {self.value(schema)}'
        return self.grammar.numbered(f'{self.listed(argument)} ")"')

    # --- literals ----------------------------------------------------------------------------------------------------

    def key(self, name: str) -> str:
        """See `Literals.key`."""
        return f"{name!r}: "

    def object(self, schema: Mapping[str, Any]) -> str:
        """See `Literals.object`."""
        return self.others(schema) if self._objects_as_json else super().object(schema)

    def free_object(self, values: str) -> str:
        """See `Literals.free_object`."""
        member = f'{self.string(0, None)} ": " {values}'
        return f'{self.listed(member)} "}}"'

    def spellings(self, value: Any) -> Iterable[str]:
        """See `Literals.spellings`: strings in the quotes that the model prefers."""
        return (repr(value), json.dumps(value, ensure_ascii=False)) if isinstance(value, str) else (repr(value),)

    def string(self, shortest: int, longest: int | None) -> str:
        """See `Literals.string`."""
        count = "*" if not shortest and longest is None else f"{{{shortest},{'' if longest is None else longest}}}"
        single, double = (rf"{q}([^{q}\\\x00-\x1f\x7f]|{_ESCAPED}){count}{q}" for q in ("'", '"'))
        suffix = "" if count == "*" else f"_{shortest}_{'' if longest is None else longest}"
        return self.grammar.rule(f"PYTHON_STRING{suffix}", f"/{single}|{double}/")

    def any_value(self) -> str:
        """See `Literals.any_value`."""
        grammar = self.grammar
        string = self.string(0, None)
        number = grammar.rule("python_number", '%json {"type": "number"}')
        items = self.listed("python_value")
        grammar.rule("python_list", f'"[" {items} "]"')
        member = f'{string} ": " python_value'
        as_json = '%json {"type": "object"}'
        grammar.rule("python_dict", as_json if self._objects_as_json else f'"{{" {self.listed(member)} "}}"')
        return grammar.rule(
            "python_value", f'{string} | {number} | "True" | "False" | "None" | python_list | python_dict'
        )

    def others(self, schema: Mapping[str, Any]) -> str:
        """See `Literals.others`: a JSON value; any literal where a part refers to what it does not hold."""
        if any(not reference.startswith(tuple(f"#/{key}/" for key in DEFINITIONS)) for reference in references(schema)):
            return self.any_value()
        return self.grammar.json(one_line({**self.definitions, **schema}))


def _can_be_told(name: str) -> bool:
    return bool(name) and name == name.strip() and not _NOT_IN_NAMES.intersection(name)
