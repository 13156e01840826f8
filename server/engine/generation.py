"""One request's answer as an asynchronous iterator, and the way its news travels between threads.

The engine's thread posts; everything else here happens in the event loop that submitted the request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self, TypeAlias

from server.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from server.engine.sequence import Sequence
    from server.engine.types import GenerationChunk, GenerationRequest


class Channel:
    """Where news of one generation arrives. `accepted_at` is in seconds of the monotonic clock."""

    __slots__ = ("accepted_at", "arrived", "is_closed", "loop", "news", "request", "sequence")

    def __init__(self, request: GenerationRequest, loop: asyncio.AbstractEventLoop, accepted_at: float) -> None:
        self.request = request
        self.loop = loop
        self.accepted_at = accepted_at
        self.news: deque[GenerationChunk | EngineError] = deque()
        self.arrived = asyncio.Event()
        self.is_closed = False
        self.sequence: Sequence | None = None

    def put(self, item: GenerationChunk | EngineError, *, is_last: bool) -> None:
        """Leave news for the iterator; after the last or after `close` it is dropped."""
        if self.is_closed:
            return
        self.news.append(item)
        self.is_closed = is_last
        self.arrived.set()

    def close(self) -> None:
        """Drop what has not been read, and all that comes."""
        self.news.clear()
        self.is_closed = True
        self.arrived.set()


News: TypeAlias = "tuple[Channel, GenerationChunk | EngineError, bool]"


class Generation:
    """The chunks of one request, in the event loop that submitted it.

    `aclose`, a cancelled `__anext__` and losing the last reference abort the generation: `cancel` is called.
    """

    def __init__(self, channel: Channel, cancel: Callable[[Channel], None]) -> None:
        self._channel = channel
        self._cancel = cancel

    @property
    def n_prompt(self) -> int:
        """How many tokens the request's prompt has."""
        return len(self._channel.request.tokens)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> GenerationChunk:
        channel = self._channel
        while not channel.news:
            if channel.is_closed:
                raise StopAsyncIteration
            channel.arrived.clear()
            try:
                await channel.arrived.wait()
            except asyncio.CancelledError:
                self._abort()
                raise
        item = channel.news.popleft()
        if isinstance(item, EngineError):
            raise item
        return item

    async def aclose(self) -> None:
        """Abort the generation if it is not over. May be called again."""
        self._abort()

    def __del__(self) -> None:
        self._abort()

    def _abort(self) -> None:
        is_over = self._channel.is_closed
        self._channel.close()
        if not is_over:
            self._cancel(self._channel)


def post(loop: asyncio.AbstractEventLoop, news: Iterable[News]) -> bool:
    """Deliver news in an event loop without waiting for it; False if the loop is closed."""
    try:
        loop.call_soon_threadsafe(_deliver, tuple(news))
    except RuntimeError:
        if not loop.is_closed():
            raise
        return False
    return True


def _deliver(news: tuple[News, ...]) -> None:
    for channel, item, is_last in news:
        channel.put(item, is_last=is_last)
