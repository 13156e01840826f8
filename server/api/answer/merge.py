"""Several answers in one: their pieces as they come, each with the number of its answer.

Knows asyncio, not what a piece is. The law: closing the merge closes every source.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from server.api.http.connection import next_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.chat.source import Source

Piece = TypeVar("Piece")


def numbered(sources: Sequence[Source[Piece]]) -> Source[tuple[int, Piece]]:
    """The pieces of all sources, each with the number of its source. One source needs no task for each piece."""
    return Alone(sources[0]) if len(sources) == 1 else Merge(sources)


class Alone(Generic[Piece]):
    """Yields `(0, piece)` for every piece of a source."""

    def __init__(self, source: Source[Piece]) -> None:
        self._source = source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, Piece]:
        return 0, await anext(self._source)

    async def aclose(self) -> None:
        """Close the source. May be called again."""
        await self._source.aclose()


class Merge(Generic[Piece]):
    """Yields `(i, piece)` for every piece of the i-th source to the end of all; raises what any of them raises."""

    def __init__(self, sources: Sequence[Source[Piece]]) -> None:
        self._sources = tuple(sources)
        self._waiting = set(range(len(sources)))
        self._asked: dict[asyncio.Future[Piece | None], int] = {}
        self._ready: deque[tuple[int, Piece]] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, Piece]:
        while not self._ready:
            for i in self._waiting:
                self._asked[asyncio.ensure_future(next_of(self._sources[i]))] = i
            self._waiting.clear()
            if not self._asked:
                raise StopAsyncIteration
            done, _ = await asyncio.wait(self._asked, return_when=asyncio.FIRST_COMPLETED)
            for answer in sorted(done, key=self._asked.__getitem__):
                self._take(answer)
        return self._ready.popleft()

    def _take(self, answer: asyncio.Future[Piece | None]) -> None:
        i = self._asked.pop(answer)
        piece = answer.result()
        if piece is not None:
            self._ready.append((i, piece))
            self._waiting.add(i)

    async def aclose(self) -> None:
        """Close every source. May be called again."""
        # A source that is being asked cannot be closed: take the questions back first.
        for answer in self._asked:
            answer.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        self._asked.clear()
        for source in self._sources:
            await source.aclose()
