"""The calls of one answer whose tools' schemas were not enforced: validated when the answer is complete.

Knows tool calls and schemas; no text format and no HTTP. A call that was cut is not validated: its `finish_reason` says
so already.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from server.enforced_schemas import EnforcedSchema, EnforcedSchemas
from server.schema_warning import SchemaWarning
from server.validation import ValidationLimitError, violations


@dataclass(slots=True)
class _Call:
    schema: EnforcedSchema
    call_id: str
    pieces: list[str] = field(default_factory=list)
    is_complete: bool = False


class UnenforcedCalls:
    """Collects the arguments of calls as they are generated; true if there are calls to validate."""

    def __init__(self, schemas: EnforcedSchemas) -> None:
        self._schemas = schemas
        self._calls: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def start(self, index: int, name: str, call_id: str) -> None:
        """A call begins; it is kept only if its tool was degraded."""
        schema = self._schemas.tools.get(name)
        if schema is not None and schema.enforcement.faults:
            self._calls[index] = _Call(schema, call_id)

    def add(self, index: int, text: str) -> None:
        """A piece of a call's arguments."""
        if index in self._calls:
            self._calls[index].pieces.append(text)

    def end(self, index: int) -> None:
        """A call's arguments are complete."""
        if index in self._calls:
            self._calls[index].is_complete = True

    def warnings(self) -> tuple[SchemaWarning, ...]:
        """What is wrong with the complete calls. Takes up to about a second a call: not for the event loop."""
        return tuple(warning for call in self._calls.values() if call.is_complete for warning in _warnings(call))


def _warnings(call: _Call) -> list[SchemaWarning]:
    tool = call.schema.tool
    if call.schema.enforcement.is_malformed:
        return [_unchecked(call, "the tool's schema is malformed")]
    try:
        found = violations(call.schema.enforcement.given, "".join(call.pieces))
    except ValidationLimitError as error:
        return [_unchecked(call, str(error))]
    return [
        SchemaWarning("arguments_invalid", tool, violation.path, violation.message, tool_call_id=call.call_id)
        for violation in found
    ]


def _unchecked(call: _Call, reason: str) -> SchemaWarning:
    message = f"It is not known whether these arguments fit: {reason}."
    return SchemaWarning("arguments_unchecked", call.schema.tool, "$", message, tool_call_id=call.call_id)
