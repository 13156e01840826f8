"""References by address or by anchor, written as JSON pointers into the same document.

Knows `$id`, `$anchor` and `$dynamicAnchor` of draft 2020-12 and how URIs are joined (RFC 3986); fetches nothing. Law:
a reference leads where it led. A `$dynamicRef` leads to one place where nothing in the document could redirect it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from chat_templates.schema.dialect import mapped, steps

_NAMES = ("$id", "$anchor", "$dynamicAnchor")


@dataclass(slots=True)
class _Places:
    """Where the document's named parts are, as pointers. `dynamic` counts the dynamic anchors of each name."""

    documents: dict[str, str] = field(default_factory=dict)
    anchors: dict[tuple[str, str], str] = field(default_factory=dict)
    dynamic: dict[str, int] = field(default_factory=dict)


class _ElsewhereError(Exception):
    """A reference leads out of the document, or a dynamic one to several places."""


def with_pointers(root: Any) -> Any:
    """A copy whose references are pointers, without the names that they went by.

    The same schema where nothing is named in it, where a reference leads out of it, or where a `$dynamicRef` may lead
    to several places.
    """
    places = _Places()
    _collect(root, "", "", places)
    if not (places.documents.keys() - {""} or places.anchors):
        return root
    try:
        return _rewritten(root, "", places)
    except _ElsewhereError:
        return root


def _collect(schema: Any, base: str, pointer: str, places: _Places) -> None:
    base = _base(schema, base)
    if not pointer or (isinstance(schema, Mapping) and isinstance(schema.get("$id"), str)):
        places.documents.setdefault(base, pointer)
    if not isinstance(schema, Mapping):
        return
    for keyword in ("$anchor", "$dynamicAnchor"):
        name = schema.get(keyword)
        if isinstance(name, str):
            places.anchors.setdefault((base, name), pointer)
    if isinstance(schema.get("$dynamicAnchor"), str):
        name = schema["$dynamicAnchor"]
        places.dynamic[name] = places.dynamic.get(name, 0) + 1
    for keys, part in steps(schema):
        _collect(part, base, pointer + _as_pointer(keys), places)


def _rewritten(schema: Any, base: str, places: _Places) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    base = _base(schema, base)
    out = mapped(schema, lambda part: _rewritten(part, base, places))
    for key in _NAMES:
        out.pop(key, None)
    if isinstance(out.get("$ref"), str):
        out["$ref"] = _pointer(out["$ref"], base, places)
    if isinstance(out.get("$dynamicRef"), str):
        reference = out.pop("$dynamicRef")
        if places.dynamic.get(reference.partition("#")[2], 0) > 1:
            raise _ElsewhereError
        target = {"$ref": _pointer(reference, base, places)}
        if "$ref" in out:
            out["allOf"] = [*out.get("allOf", ()), target]
        else:
            out.update(target)
    return out


def _pointer(reference: str, base: str, places: _Places) -> str:
    """The pointer to what a reference means."""
    document, _, fragment = _joined(base, reference).partition("#")
    if fragment and not fragment.startswith("/"):
        fragment, place = "", places.anchors.get((document, fragment))
    else:
        place = places.documents.get(document)
    if place is None:
        raise _ElsewhereError
    return f"#{place}{fragment}"


def _base(schema: Any, base: str) -> str:
    address = schema.get("$id") if isinstance(schema, Mapping) else None
    return _joined(base, address).partition("#")[0] if isinstance(address, str) else base


def _joined(base: str, reference: str) -> str:
    """An absolute address. A fragment alone stays in its document, also under an address that has no path (a URN)."""
    try:
        has_scheme = bool(urlsplit(reference).scheme)
        if reference.startswith("#") or not reference:
            return base + reference
        return reference if has_scheme else urljoin(base, reference)
    except ValueError:
        return reference


def _as_pointer(keys: tuple[str | int, ...]) -> str:
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1').replace('%', '%25')}" for key in keys)
