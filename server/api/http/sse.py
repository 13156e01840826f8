"""Server-sent events: an answer's events as they come, something in the silence between them, one end.

Knows ASGI and time, not what an event means. The law: however the answer ends (exhausted, failed, the client
left, the server stops) its source is closed, which aborts the generation behind it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from starlette.responses import Response

from server.api.http.connection import disconnected, next_of
from server.api.http.errors import failure_of, openai_body
from server.errors import FunctionGateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Receive, Scope, Send

    from server.chat.source import Source

log = logging.getLogger(__name__)

Delta = TypeVar("Delta")
Delta_contra = TypeVar("Delta_contra", contravariant=True)

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"


def event(value: Any, name: str | None = None) -> bytes:
    """One event with a JSON value as its data; clients of some dialects know events by a name."""
    line = b"" if name is None else b"event: " + name.encode() + b"\n"
    return line + b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class EventWriter(Protocol[Delta_contra]):
    """What a dialect sends of one answer, as bytes of whole events; empty where it has nothing to say."""

    def begin(self) -> bytes:
        """Before anything is generated."""
        ...

    def write(self, delta: Delta_contra, /) -> bytes:
        """For one more delta."""
        ...

    def silence(self) -> bytes:
        """When nothing came for a while."""
        ...

    def fail(self, error: Exception) -> bytes:
        """When the answer fails: the last of all."""
        ...

    def end(self) -> bytes:
        """When the answer has ended well: the last of all."""
        ...


class ChunkEvents(Generic[Delta]):
    """OpenAI's completions as events: chunks without names, comments in silence, [DONE] at the end.

    Implements `EventWriter`; `chunks` makes the chunks of a delta.
    """

    def __init__(self, chunks: Callable[[Delta], Sequence[Any]]) -> None:
        self._chunks = chunks

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def write(self, delta: Delta) -> bytes:
        """The chunks for one more delta."""
        return b"".join(event(chunk) for chunk in self._chunks(delta))

    def silence(self) -> bytes:
        """A comment."""
        return PING

    def fail(self, error: Exception) -> bytes:
        """OpenAI's error object."""
        return event(openai_body(failure_of(error)))

    def end(self) -> bytes:
        """The mark after the last chunk."""
        return DONE


class EventStream(Response, Generic[Delta]):
    """Streams what `writer` makes of every delta and of the end, or of an error instead.

    The writer fills the silence whenever `ping_interval_s` seconds pass: proxies drop quiet connections (nginx after
    60 s), and a long prompt on a CPU takes longer than that.
    """

    media_type = "text/event-stream"

    def __init__(self, deltas: Source[Delta], writer: EventWriter[Delta], *, ping_interval_s: float) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._deltas = deltas
        self._writer = writer
        self._ping_interval_s = ping_interval_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI request."""
        del scope  # what is sent does not depend on what was asked
        async with aclosing(self._deltas):
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            left = asyncio.create_task(disconnected(receive))
            try:
                await send(start)
                await _send_part(send, self._writer.begin())
                await self._send_events(send, left)
            except OSError:
                log.debug("the client left while it was written to")
            finally:
                left.cancel()

    async def _send_events(self, send: Send, left: asyncio.Task[None]) -> None:
        pending = asyncio.ensure_future(next_of(self._deltas))
        try:
            while True:
                await asyncio.wait({pending, left}, timeout=self._ping_interval_s, return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    return
                if not pending.done():
                    await _send_part(send, self._writer.silence())
                    continue
                try:
                    delta = pending.result()
                except Exception as error:  # noqa: BLE001 -- told to the client and to the log
                    _log_failure(error)
                    await _send_part(send, self._writer.fail(error), is_last=True)
                    return
                if delta is None:
                    await _send_part(send, self._writer.end(), is_last=True)
                    return
                await _send_part(send, self._writer.write(delta))
                pending = asyncio.ensure_future(next_of(self._deltas))
        finally:
            # A source that is being asked cannot be closed: take the question back first.
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)


async def _send_part(send: Send, body: bytes, *, is_last: bool = False) -> None:
    if body or is_last:
        await send({"type": "http.response.body", "body": body, "more_body": not is_last})


def _log_failure(error: Exception) -> None:
    if isinstance(error, FunctionGateError):
        log.error("the answer ended early: %s", error)
    else:
        log.error("the answer ended early", exc_info=error)
