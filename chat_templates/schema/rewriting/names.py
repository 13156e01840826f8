"""`propertyNames` as the properties that it allows: listed ones, or all of a pattern.

Knows draft 2020-12; no grammar. Law: the same objects fit, also where another keyword speaks of names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat_templates.schema.keywords import ANNOTATIONS, misshapen
from chat_templates.schema.pattern import ANY_CHARACTER

_SIZES = frozenset({"minLength", "maxLength"})
_OTHERS_THAT_NAME = ("properties", "patternProperties", "unevaluatedProperties")


def name_properties(schema: dict[str, Any]) -> None:
    """Write `propertyNames` as properties where that says the same; else leave it."""
    if "propertyNames" not in schema:
        return
    names = schema["propertyNames"]
    said = {key: value for key, value in names.items() if key not in ANNOTATIONS} if isinstance(names, Mapping) else {}
    is_text = said.pop("type", "string") == "string"
    if names is True or (isinstance(names, Mapping) and is_text and not said):
        del schema["propertyNames"]
    elif names is False or not is_text:
        del schema["propertyNames"]
        schema["maxProperties"] = 0
    elif not any(key in schema for key in _OTHERS_THAT_NAME):
        _name(schema, said)


def _name(schema: dict[str, Any], said: Mapping[str, Any]) -> None:
    others = schema.get("additionalProperties", {})
    pattern = _pattern(said)
    if (listed := _listed(said)) is not None:
        schema["properties"] = dict.fromkeys(listed, others)
    elif pattern is not None:
        schema["patternProperties"] = {pattern: others}
    else:
        return
    del schema["propertyNames"]
    schema["additionalProperties"] = False


def _listed(said: Mapping[str, Any]) -> list[str] | None:
    if said.keys() == {"const"}:
        return [said["const"]] if isinstance(said["const"], str) else []
    names = said.get("enum") if said.keys() == {"enum"} else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else None


def _pattern(said: Mapping[str, Any]) -> str | None:
    if any(misshapen(key, value) for key, value in said.items()):
        return None
    if said.keys() == {"pattern"}:
        return str(said["pattern"])
    if said and said.keys() <= _SIZES:
        most = int(said["maxLength"]) if "maxLength" in said else ""
        return f"^{ANY_CHARACTER}{{{int(said.get('minLength', 0))},{most}}}$"
    return None
