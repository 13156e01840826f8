"""The outermost layer: a name and a measured time for every request, and a plain 500 for the uncaught."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from server.api.http.errors import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from server.api.system.metrics import HttpMetrics

log = logging.getLogger(__name__)

# A client's own id is kept if it is safe to print and to send back.
_SAFE_ID = re.compile(r"[\x21-\x7e]{1,128}")


class TracingMiddleware:
    """Sets `x-request-id` on every answer and `openai-processing-ms` on whole ones; measures; logs.

    `request-id` is the same under the name that Messages' clients read; `request.state.request_id` is for its errors.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = _Trace(scope, send)
        scope.setdefault("state", {})["request_id"] = trace.id
        try:
            await self._app(scope, receive, trace.send)
        except Exception:
            log.exception("request %s failed: %s %s", trace.id, scope["method"], scope["path"])
            if trace.status is not None:
                raise  # the answer has begun: only breaking the connection tells the client
            await error_response(scope, RuntimeError())(scope, receive, trace.send)
        finally:
            self._metrics.observe(_route(scope), trace.status or 499, trace.seconds())


class _Trace:
    def __init__(self, scope: Scope, send: Send) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if _SAFE_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        self.status: int | None = None
        self._send = send
        self._begin = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._begin

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = headers["request-id"] = self.id
            if not headers.get("content-type", "").startswith("text/event-stream"):
                headers["openai-processing-ms"] = str(round(self.seconds() * 1000))
        await self._send(message)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return getattr(route, "path", "unknown")
