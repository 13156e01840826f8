"""What a client is told about schemas that the grammar did not enforce.

Knows no HTTP. The fields are those of the `warnings` in an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WarningType = Literal[
    "schema_degraded", "arguments_invalid", "arguments_unchecked", "content_invalid", "content_unchecked"
]


@dataclass(frozen=True, slots=True)
class SchemaWarning:
    """One warning of an answer.

    schema_degraded      `path` leads to a schema of the request whose `keyword` the grammar cannot enforce
    arguments_invalid    a call of such a tool does not fit its schema at `path` (`$.city`) of its arguments
    arguments_unchecked  it is not known whether the call fits
    content_invalid      a JSON answer does not fit a `response_format` that the grammar cannot enforce
    content_unchecked    it is not known whether the answer fits

    `tool` is None for `response_format`.
    """

    type: WarningType
    tool: str | None
    path: str
    message: str
    keyword: str | None = None
    tool_call_id: str | None = None

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object, without what it has not."""
        named = {
            "type": self.type,
            "tool": self.tool,
            "tool_call_id": self.tool_call_id,
            "path": self.path,
            "keyword": self.keyword,
            "message": self.message,
        }
        return {name: value for name, value in named.items() if value is not None}
