"""Where a `$ref` points: JSON pointers into the same document.

Knows RFC 6901 and URI fragments; fetches nothing, and follows no `$id` and no `$anchor`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote


def resolve(root: Any, reference: Any) -> Any:
    """The value that `#` or `#/…` points to in `root`. Raises `LookupError` with the reason if there is none."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise LookupError(f"{reference!r} is not a reference into the same schema (#/…)")
    value = root
    for token in reference[2:].split("/") if reference != "#" else ():
        key = unquote(token).replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, Mapping) and key in value:
            value = value[key]
        else:
            raise LookupError(f"{reference!r} points to nothing")
    return value


def references(schema: Any) -> Iterator[str]:
    """Every `$ref` and `$dynamicRef` in a schema, wherever it stands."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for part in schema:
            yield from references(part)
