"""Conditions of a schema as alternatives, which a grammar can choose among.

`dependentRequired`, `dependentSchemas`, `if`, `not`, and a `oneOf` whose alternatives may both fit. Knows draft 2020-12
(see `dialect`); no grammar. Law: what fits is the same; where `negated` has no answer, None is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from chat_templates.schema.rewriting.negation import NoNegationError, absent, either, every, negated

MAX_ALTERNATIVES = 8  # of a oneOf: each holds the opposites of all others

Schema = Any


def without_condition(keyword: str, schema: Mapping[str, Any], root: Any) -> Schema | None:
    """What one of CONDITIONS says in `schema`, as a schema of its own; None where none says it."""
    try:
        return CONDITIONS[keyword](schema, root)
    except NoNegationError:
        return None


def _required(schema: Mapping[str, Any], root: Any) -> Schema:
    del root
    wanted = schema["dependentRequired"]
    return every(either([absent(name), {"required": [name, *names]}]) for name, names in wanted.items() if names)


def _dependent(schema: Mapping[str, Any], root: Any) -> Schema:
    del root
    return every(
        either([absent(name), every([{"required": [name]}, part])]) for name, part in schema["dependentSchemas"].items()
    )


def _if(schema: Mapping[str, Any], root: Any) -> Schema:
    test, then, otherwise = schema["if"], schema.get("then", True), schema.get("else", True)
    if then is True or then == {}:
        return either([test, otherwise])
    return either([every([test, then]), every([negated(test, root), otherwise])])


def _not(schema: Mapping[str, Any], root: Any) -> Schema:
    return negated(schema["not"], root)


def _one_of(schema: Mapping[str, Any], root: Any) -> Schema:
    options: Sequence[Schema] = schema["oneOf"]
    if len(options) > MAX_ALTERNATIVES:
        raise NoNegationError(f"more than {MAX_ALTERNATIVES} alternatives exclude one another")
    opposites = [negated(option, root) for option in options]
    return either(
        every([option, *(opposite for j, opposite in enumerate(opposites) if j != i)])
        for i, option in enumerate(options)
    )


CONDITIONS: Mapping[str, Callable[[Mapping[str, Any], Any], Schema]] = MappingProxyType(
    {
        "dependentRequired": _required,
        "dependentSchemas": _dependent,
        "if": _if,
        "not": _not,
        "oneOf": _one_of,
    }
)
