"""Where pieces of an answer come from, whoever makes them and whoever writes them.

Knows nothing of what a piece is. The law: a source can be ended at any time, which gives back what it holds.
"""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

Piece_co = TypeVar("Piece_co", covariant=True)


class Source(Protocol[Piece_co]):
    """Pieces of one answer as they come. A class and not an async generator: one that never began runs no code."""

    def __aiter__(self) -> Self:
        """Itself."""
        ...

    async def __anext__(self) -> Piece_co:
        """The next piece. Raises `StopAsyncIteration` after the last, and what goes wrong."""
        ...

    async def aclose(self) -> None:
        """Give up what is not made yet. May be called again."""
        ...
