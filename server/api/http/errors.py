"""The one table from exceptions to HTTP answers; every dialect writes its own error object of the same failure.

Knows status codes and headers, and by a request's path whose shape its errors have. Internals never leave: an
exception that is not ours becomes a plain 500, and the log has the rest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from server.errors import DeadlineError, FunctionGateError, NotReadyError, OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Scope

log = logging.getLogger(__name__)

# nginx's number for a client that left; nobody receives it, the log and the metrics see it.
CLIENT_CLOSED_REQUEST = 499


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, for any dialect to tell: OpenAI's fields, the status, headers, the name of the request."""

    status: int
    message: str
    type: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None


def failure_of(error: Exception) -> Failure:
    """What an exception tells. Others than ours tell nothing."""
    if not isinstance(error, FunctionGateError):
        message = "The server failed. Its log has the reason, by the request's x-request-id."
        return Failure(500, message, "server_error", code="internal_error")
    headers = {}
    if isinstance(error, OverloadedError):
        headers["retry-after"] = str(error.retry_after_s)
    elif isinstance(error, NotReadyError):
        headers["retry-after"] = "1"
    elif isinstance(error, DeadlineError):
        headers["x-should-retry"] = "false"  # OpenAI's clients would ask for the same again, and again in vain
    return Failure(error.status, error.message, error.type, error.param, error.code, headers)


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """How one dialect tells failures: `body` writes them, as `schema` says, which is called `name`.

    `statuses` are other numbers for some of ours.
    """

    body: Callable[[Failure], dict[str, Any]]
    name: str
    schema: Mapping[str, Any]
    statuses: Mapping[int, int] = field(default_factory=dict)

    def response(self, failure: Failure) -> JSONResponse:
        """The HTTP answer."""
        status = self.statuses.get(failure.status, failure.status)
        return JSONResponse(self.body(failure), status, dict(failure.headers))


def openai_body(failure: Failure) -> dict[str, Any]:
    """OpenAI's `{"error": {"message", "type", "param", "code"}}`."""
    fields = {"message": failure.message, "type": failure.type, "param": failure.param, "code": failure.code}
    return {"error": fields}


OPENAI_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "additionalProperties": False,
            "properties": {
                "message": {"type": "string", "minLength": 1},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
OPENAI = ErrorShape(openai_body, "Error", OPENAI_SCHEMA)


def error_response(scope: Scope, error: Exception) -> JSONResponse:
    """The HTTP answer for an exception, in the dialect of the request."""
    return _response(scope, failure_of(error))


def _response(scope: Scope, failure: Failure) -> JSONResponse:
    return shape_of(scope["app"], scope["path"]).response(
        replace(failure, request_id=scope.get("state", {}).get("request_id"))
    )


def shape_of(app: FastAPI, path: str) -> ErrorShape:
    """How the failures of a path are told."""
    shapes: Mapping[str, ErrorShape] = app.state.error_shapes
    return next((shape for beginning, shape in shapes.items() if path.startswith(beginning)), OPENAI)


def install_error_handlers(app: FastAPI, shapes: Mapping[str, ErrorShape]) -> None:
    """Make the app answer every refusal in its dialect: a shape for each beginning of a path, OpenAI's elsewhere.

    Changes `app`.
    """
    app.state.error_shapes = shapes
    app.add_exception_handler(FunctionGateError, _ours)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(ClientDisconnect, _gone)


async def _ours(request: Request, error: Exception) -> Response:
    response = error_response(request.scope, error)
    if response.status_code >= 500:
        log.error("%s %s failed: %s", request.method, request.url.path, error, exc_info=error.__cause__)
    return response


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for HTTPException"
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code)
    message = {
        404: f"Unknown request URL: {request.method} {request.url.path}. GET / lists what there is.",
        405: f"{request.url.path} does not take {request.method}.",
    }.get(error.status_code, error.detail)
    headers = {"allow": _allowed(request)} if error.status_code == 405 else error.headers or {}
    failure = Failure(error.status_code, message, "invalid_request_error", code=code, headers=headers)
    return _response(request.scope, failure)


def _allowed(request: Request) -> str:
    """The methods that a path takes. Each is a route of its own, of which the error knows one."""
    routes = [route for route in request.app.routes if hasattr(route, "path")]
    path = next(route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    methods = {method for route in routes if route.path == path for method in getattr(route, "methods", None) or ()}
    return ", ".join(sorted(methods))


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)
