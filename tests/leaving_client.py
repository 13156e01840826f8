"""A client that posts a body by ASGI alone, and leaves when it is told to."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message


async def run_until_left(app: ASGIApp, path: str, body: Mapping[str, Any], leave: asyncio.Event) -> list[Message]:
    """Serve one request; the client leaves when `leave` is set. The messages that were sent to it."""
    sent: list[Message] = []
    incoming: list[Message] = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http", "server": ("test", 80), "asgi": {}}
    await asyncio.wait_for(app(scope, receive, send), 5)
    return sent
