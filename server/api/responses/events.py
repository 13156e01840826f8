"""A response's events on their way: numbered and named, kept when they have ended, and the whole of them.

Knows the store only as what a response is given to before its end is told: who reads the end can go on from it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from server.api.http.errors import failure_of
from server.api.http.sse import DONE, event
from server.errors import FunctionGateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from server.api.responses.build import ResponseBuilder
    from server.api.responses.output import Event
    from server.chat.request import ChatDelta
    from server.chat.source import Source

log = logging.getLogger(__name__)


class ResponseEvents:
    """The events of one response, those of each delta together. Implements `Source`; `keep` is called before the end.

    A response that cannot be kept says so.
    """

    def __init__(
        self,
        deltas: Source[ChatDelta],
        builder: ResponseBuilder,
        keep: Callable[[dict[str, Any]], Awaitable[None]] | None,
    ) -> None:
        self._deltas = deltas
        self._builder = builder
        self._keep = keep

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Event]:
        events = self._builder.add(await anext(self._deltas))
        whole = self._builder.response
        if whole is not None and self._keep is not None:
            try:
                await self._keep(whole)
            except FunctionGateError as error:
                log.error("a response was not stored: %s", error)  # noqa: TRY400 -- the message says it all
                events[-1] = self._builder.not_stored(error.message)
        return events

    async def aclose(self) -> None:
        """Give up what is not made yet. May be called again."""
        await self._deltas.aclose()


async def whole(events: ResponseEvents, builder: ResponseBuilder) -> dict[str, Any]:
    """The response that the events end with. Raises what they raise."""
    async for _ in events:
        pass
    assert builder.response is not None, "events end with a response"
    return builder.response


class ResponseWriter:
    """Writes events with their numbers and names. Implements `EventWriter`.

    In silence the state is sent again: some clients count events, not comments, as a sign of life.
    """

    def __init__(self, builder: ResponseBuilder) -> None:
        self._builder = builder
        self._n = 0

    def begin(self) -> bytes:
        """The response, created and in progress."""
        return self.write(self._builder.begin())

    def write(self, events: Sequence[Event]) -> bytes:
        """Events, numbered on."""
        return b"".join(map(self._line, events))

    def silence(self) -> bytes:
        """The response, in progress."""
        return self._line(self._builder.silence())

    def fail(self, error: Exception) -> bytes:
        """The error, and the response that failed of it."""
        return self.write(self._builder.fail(failure_of(error))) + DONE

    def end(self) -> bytes:
        """The mark after the last event: some clients wait for it, the others stop before it."""
        return DONE

    def _line(self, told: Event) -> bytes:
        numbered = {"type": told["type"], "sequence_number": self._n, **told}
        self._n += 1
        return event(numbered, told["type"])
