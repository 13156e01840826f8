"""Failures in the shape that Messages' clients read: a type for each status, and the request's name.

Pure: a failure in, JSON values out. A full queue is 529, which these clients know as overloaded and ask again after.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from server.api.http.errors import ErrorShape, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERLOADED = 529

_TYPES: Mapping[int, str] = MappingProxyType(
    {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        408: "timeout_error",
        413: "request_too_large",
        429: "overloaded_error",  # the queue's; nobody's rate is limited here
    }
)


def error_body(failure: Failure) -> dict[str, Any]:
    """Anthropic's `{"type": "error", "error": {"type", "message", "details"}, "request_id"}`.

    `details` has our code and the place in the body.
    """
    kind = _TYPES.get(failure.status, "api_error" if failure.status >= 500 else "invalid_request_error")
    error: dict[str, Any] = {"type": kind, "message": failure.message}
    if failure.code is not None:
        error["details"] = {"error_code": failure.code, "param": failure.param}
    return {"type": "error", "error": error, "request_id": failure.request_id}


_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "additionalProperties": False,
            "properties": {
                "type": {"enum": sorted({*_TYPES.values(), "api_error", "invalid_request_error"})},
                "message": {"type": "string", "minLength": 1},
                "details": {
                    "type": "object",
                    "required": ["error_code", "param"],
                    "additionalProperties": False,
                    "properties": {"error_code": {"type": "string"}, "param": {"type": ["string", "null"]}},
                },
            },
        },
        "request_id": {"type": "string"},
    },
}
MESSAGES = ErrorShape(error_body, "MessagesError", _SCHEMA, {429: OVERLOADED})
