"""The one table from exceptions to HTTP answers; every error has OpenAI's error object as its body.

Knows status codes and headers. Internals never leave: an exception that is not ours becomes a plain 500, and
the log has the rest.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from server.errors import DeadlineError, FunctionGateError, NotReadyError, OverloadedError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

log = logging.getLogger(__name__)

# nginx's number for a client that left; nobody receives it, the log and the metrics see it.
CLIENT_CLOSED_REQUEST = 499


def error_body(error: Exception) -> dict[str, Any]:
    """OpenAI's `{"error": {"message", "type", "param", "code"}}` for an exception. Others than ours tell nothing."""
    if isinstance(error, FunctionGateError):
        fields = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    else:
        message = "The server failed. Its log has the reason, by the request's x-request-id."
        fields = {"message": message, "type": "server_error", "param": None, "code": "internal_error"}
    return {"error": fields}


def error_response(error: Exception) -> JSONResponse:
    """The HTTP answer for an exception."""
    headers = {}
    if isinstance(error, OverloadedError):
        headers["retry-after"] = str(error.retry_after_s)
    elif isinstance(error, NotReadyError):
        headers["retry-after"] = "1"
    elif isinstance(error, DeadlineError):
        headers["x-should-retry"] = "false"  # OpenAI's clients would ask for the same again, and again in vain
    status = error.status if isinstance(error, FunctionGateError) else 500
    return JSONResponse(error_body(error), status, headers)


def install_error_handlers(app: FastAPI) -> None:
    """Make the app answer every refusal with OpenAI's error object; changes `app`."""
    app.add_exception_handler(FunctionGateError, _ours)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(ClientDisconnect, _gone)


async def _ours(request: Request, error: Exception) -> Response:
    response = error_response(error)
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
    fields = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": fields}, error.status_code, error.headers)


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)
