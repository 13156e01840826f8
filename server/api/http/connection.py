"""Whether the client is still there while its answer is made.

Knows ASGI and time, not what an answer is. The law: a client that leaves stops its generation.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.requests import Request
    from starlette.types import Receive

    from server.chat.source import Source

Answer = TypeVar("Answer")
Piece = TypeVar("Piece")


async def next_of(source: Source[Piece]) -> Piece | None:
    """The next piece, None after the last: a coroutine, which a task can be made of."""
    return await anext(source, None)


async def disconnected(receive: Receive) -> None:
    """Returns when the client has left. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(answer: Coroutine[Any, Any, Answer], source: Source[Any], request: Request) -> Answer:
    """The answer that a coroutine makes of a source, which is closed in the end, however it ends.

    Raises what the coroutine raises, and `ClientDisconnect` as soon as the client leaves.
    """
    async with aclosing(source):
        return await cancelled_when_left(answer, request)


async def cancelled_when_left(answer: Coroutine[Any, Any, Answer], request: Request) -> Answer:
    """What a coroutine gives, which is cancelled as soon as the client leaves: then raises `ClientDisconnect`."""
    made = asyncio.create_task(answer)
    left = asyncio.create_task(disconnected(request.receive))
    try:
        await asyncio.wait({made, left}, return_when=asyncio.FIRST_COMPLETED)
        if not made.done():
            raise ClientDisconnect
        return made.result()
    finally:
        left.cancel()
        made.cancel()
        await asyncio.gather(made, left, return_exceptions=True)
