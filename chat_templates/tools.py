"""The tools of a request, prepared once for all the prompts that show them.

Knows JSON and how templates print it; no template and no message. An agent sends the same fifty tools with every turn:
what is made of them alone is remembered with them. The law: a prepared tool is the JSON object that it was made of, in
everything that a template can ask; nobody changes it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from chat_templates.guard import Markers

T = TypeVar("T")


def to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    """JSON as chat templates print it. Jinja's own `tojson` escapes HTML and sorts keys: never use it here."""
    if not isinstance(value, PreparedObject | PreparedTools):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)
    printed = value.printed.get((ensure_ascii, indent))
    if printed is None:
        printed = value.printed[ensure_ascii, indent] = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)
    return printed


class PreparedObject(dict[str, Any]):
    """A JSON object that remembers how it was printed."""

    __slots__ = ("printed",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        super().__init__({name: _prepared(value) for name, value in members.items()})
        self.printed: dict[tuple[bool, int | None], str] = {}


class PreparedTools(list[PreparedObject]):
    """Tools as templates read them, and what was found out about them. May be used by several threads."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(PreparedObject(tool) for tool in tools)
        self.printed: dict[tuple[bool, int | None], str] = {}
        self.results: dict[Callable[..., Any], Any] = {}
        self._marked: dict[Markers, bool] = {}

    @functools.cached_property
    def texts(self) -> tuple[str, ...]:
        """All strings in the tools, names of members included."""
        return tuple(texts(list(self)))

    def have_markers(self, markers: Markers) -> bool:
        """Whether a marker occurs in any of the texts."""
        found = self._marked.get(markers)
        if found is None:
            found = self._marked[markers] = any(map(markers.occur_in, self.texts))
        return found


def remembered(function: Callable[[Any], T]) -> Callable[[Any], T]:
    """A function of tools alone, which is called once for the same prepared ones."""

    @functools.wraps(function)
    def call(tools: Any) -> T:
        if not isinstance(tools, PreparedTools):
            return function(tools)
        if function not in tools.results:
            tools.results[function] = function(tools)
        result: T = tools.results[function]
        return result

    return call


def texts(value: Any) -> Iterator[str]:
    """All strings in a JSON value, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from texts(key)
            yield from texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts(part)


def _prepared(value: Any) -> Any:
    if isinstance(value, Mapping):
        return PreparedObject(value)
    if isinstance(value, list | tuple):
        return [_prepared(part) for part in value]
    return value
