"""Server-sent events: an answer's chunks as they come, pings while they do not, one end.

Knows ASGI and time, not what a chunk means. The law: however the answer ends (exhausted, failed, the client
left, the server stops) its source is closed, which aborts the generation behind it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from starlette.responses import Response

from server.api.connection import disconnected
from server.api.errors import error_body
from server.errors import FunctionGateError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

Delta = TypeVar("Delta")

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    """One event with a JSON value as its data."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class EventStream(Response, Generic[Delta]):
    """Streams `write(delta)` for every delta, then [DONE]; an error in between is the last event instead.

    A comment is sent whenever `ping_interval_s` seconds pass in silence: proxies drop quiet connections
    (nginx after 60 s), and a long prompt on a CPU takes longer than that.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        deltas: AsyncGenerator[Delta],
        write: Callable[[Delta], Sequence[Any]],
        *,
        ping_interval_s: float,
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._deltas = deltas
        self._write = write
        self._ping_interval_s = ping_interval_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI request."""
        del scope  # what is sent does not depend on what was asked
        async with aclosing(self._deltas):
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            left = asyncio.create_task(disconnected(receive))
            try:
                await send(start)
                await self._send_events(send, left)
            except OSError:
                log.debug("the client left while it was written to")
            finally:
                left.cancel()

    async def _send_events(self, send: Send, left: asyncio.Task[None]) -> None:
        pending = asyncio.ensure_future(anext(self._deltas, None))
        try:
            while True:
                await asyncio.wait({pending, left}, timeout=self._ping_interval_s, return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    return
                if not pending.done():
                    await _send_part(send, PING)
                    continue
                try:
                    delta = pending.result()
                except Exception as error:  # noqa: BLE001 -- told to the client and to the log
                    _log_failure(error)
                    await _send_part(send, event(error_body(error)), is_last=True)
                    return
                if delta is None:
                    await _send_part(send, DONE, is_last=True)
                    return
                if events := b"".join(event(chunk) for chunk in self._write(delta)):
                    await _send_part(send, events)
                pending = asyncio.ensure_future(anext(self._deltas, None))
        finally:
            # A source that is being asked cannot be closed: take the question back first.
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)


async def _send_part(send: Send, body: bytes, *, is_last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not is_last})


def _log_failure(error: Exception) -> None:
    if isinstance(error, FunctionGateError):
        log.error("the answer ended early: %s", error)
    else:
        log.error("the answer ended early", exc_info=error)
