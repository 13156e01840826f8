"""The parts of one answer whose schemas were not enforced: validated when the answer is complete.

Knows tool calls, JSON answers and schemas; no text format and no HTTP. What was cut is not validated: its
`finish_reason` says so already.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from server.chat.schemas.enforced import EnforcedSchema, EnforcedSchemas
from server.chat.schemas.validation import ValidationLimitError, violations
from server.chat.schemas.warning import SchemaWarning, WarningType


@dataclass(slots=True)
class _Part:
    """A call's arguments, or the content if there is no `call_id`."""

    schema: EnforcedSchema
    call_id: str | None
    pieces: list[str] = field(default_factory=list)
    is_complete: bool = False


class Unenforced:
    """Collects arguments and content as they are generated; true if there is something to validate."""

    def __init__(self, schemas: EnforcedSchemas) -> None:
        self._schemas = schemas
        self._calls: dict[int, _Part] = {}
        response = schemas.response
        is_degraded = response is not None and bool(response.enforcement.faults)
        self._content = _Part(response, None) if response is not None and is_degraded else None

    def __bool__(self) -> bool:
        return any(True for _ in self._parts())

    def start(self, index: int, name: str, call_id: str) -> None:
        """A call begins; it is kept only if its tool was degraded."""
        schema = self._schemas.tools.get(name)
        if schema is not None and schema.enforcement.faults:
            self._calls[index] = _Part(schema, call_id)

    def add(self, index: int, text: str) -> None:
        """A piece of a call's arguments."""
        if index in self._calls:
            self._calls[index].pieces.append(text)

    def end(self, index: int) -> None:
        """A call's arguments are complete."""
        if index in self._calls:
            self._calls[index].is_complete = True

    def add_content(self, text: str) -> None:
        """A piece of the content; it is kept only if the response format was degraded."""
        if self._content is not None:
            self._content.pieces.append(text)

    def end_content(self) -> None:
        """The content is complete, unless there was none: the answer is a call."""
        if self._content is not None:
            self._content.is_complete = any(piece.strip() for piece in self._content.pieces)

    def warnings(self) -> tuple[SchemaWarning, ...]:
        """What is wrong with the complete parts. Takes up to about a second each: not for the event loop."""
        return tuple(warning for part in self._parts() for warning in _warnings(part))

    def _parts(self) -> Iterator[_Part]:
        for part in (*self._calls.values(), self._content):
            if part is not None and part.is_complete:
                yield part


def _warnings(part: _Part) -> list[SchemaWarning]:
    text = "".join(part.pieces)
    try:
        found = [(each.path, each.message) for each in violations(part.schema.enforcement.given, text)]
    except ValidationLimitError as error:
        return [_unchecked(part, str(error))]
    except json.JSONDecodeError as error:
        found = [("$", f"It is not JSON: {error}.")]  # content that a stop string ended
    kind: WarningType = "content_invalid" if part.call_id is None else "arguments_invalid"
    return [SchemaWarning(kind, part.schema.tool, path, message, tool_call_id=part.call_id) for path, message in found]


def _unchecked(part: _Part, reason: str) -> SchemaWarning:
    if part.call_id is None:
        return SchemaWarning("content_unchecked", None, "$", f"It is not known whether the answer fits: {reason}.")
    message = f"It is not known whether these arguments fit: {reason}."
    return SchemaWarning("arguments_unchecked", part.schema.tool, "$", message, tool_call_id=part.call_id)
