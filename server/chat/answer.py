"""Generated text becomes the deltas of an answer; `fold` makes the whole answer of the same deltas: one path.

Knows a family's parser and the engine's chunks; no HTTP and no token.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Protocol

from chat_templates import (
    ContentDelta,
    Event,
    OutputParser,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from server.chat.loop.echo import NoAnswer
from server.chat.loop.guard import Guard, RepeatedCall
from server.chat.request import ChatDelta, ChatFinishReason, ChatResult, ToolCallDelta, ToolCallResult
from server.chat.schemas.enforced import EnforcedSchemas
from server.chat.schemas.unenforced import Unenforced
from server.engine.generation import Generation
from server.engine.types import FinishReason, GenerationChunk, GenerationUsage

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits


@dataclass(slots=True)
class Said:
    """What an answer has told so far besides calls."""

    reasoning: str = ""
    content: str = ""


class GoesOn(Protocol):
    """Begins a generation in place of one that was refused, after what was said; `n_generated` tokens are spent."""

    async def __call__(
        self, said: Said, refused: RepeatedCall | NoAnswer, n_generated: int
    ) -> tuple[Generation, OutputParser, Guard | None]:
        """The generation, the parser of its text, and what guards it in turn."""
        ...


class ChatStream:
    """The deltas of one answer. Ends after the one with `finish_reason`; `aclose` aborts the generation.

    A class and not an async generator: closing a generator that was never started runs none of its code.
    """

    def __init__(
        self,
        generation: Generation,
        parser: OutputParser,
        schemas: EnforcedSchemas,
        call_id_size: int | None,
        *,
        guard: Guard | None,
        goes_on: GoesOn | None,
    ) -> None:
        self._generation = generation
        self._guard = guard
        self._goes_on = goes_on
        self._said = Said()
        self._usage: GenerationUsage | None = None  # of the generation before this one
        self._refused: tuple[RepeatedCall | NoAnswer, ...] = ()
        self._call_id_size = call_id_size
        self._parser = parser
        self._schemas = schemas
        self._unenforced = Unenforced(schemas)
        self._ready: deque[ChatDelta] = deque()
        self._has_calls = False

    def __aiter__(self) -> ChatStream:
        return self

    async def __anext__(self) -> ChatDelta:
        while not self._ready:
            await self._read(await anext(self._generation))
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Abort the generation if it is still running. May be called again."""
        await self._generation.aclose()

    async def _read(self, chunk: GenerationChunk) -> None:
        events = self._parser.feed(chunk.text)
        if chunk.finish_reason is not None:
            # A constrained call that is not complete here was cut, by a limit or a stop string: nothing else ends it.
            events += self._parser.finish(cut=True)
        for event in events:
            admitted = [event] if self._guard is None else self._guard.admit(event)
            if isinstance(admitted, RepeatedCall):
                await self._end_the_loop(admitted, chunk)
                return
            self._tell(admitted)
        if chunk.finish_reason is not None:
            await self._end(chunk.finish_reason, chunk)

    async def _end(self, reason: FinishReason, chunk: GenerationChunk) -> None:
        """Tell what was held back, and finish; where what the model ended is no answer, go on in words."""
        if self._guard is not None:
            held = self._guard.end() if reason is FinishReason.STOP else self._guard.cut()
            if isinstance(held, NoAnswer):
                await self._end_the_loop(held, chunk)
                return
            if isinstance(held, RepeatedCall):  # there is nothing left to go on with
                self._refused, held = (held,), []
            self._tell(held)
        await self._finish(reason, chunk.usage)

    async def _end_the_loop(self, refused: RepeatedCall | NoAnswer, chunk: GenerationChunk) -> None:
        """Go on in place of what was refused, or end the answer with the calls that were no repeats."""
        self._refused = self._refused or (refused,)
        await self._generation.aclose()
        if self._has_calls or self._goes_on is None:
            await self._finish(FinishReason.STOP, chunk.usage)
            return
        if chunk.usage is not None:
            self._usage = chunk.usage if self._usage is None else self._usage.and_then(chunk.usage)
        n_generated = 0 if self._usage is None else self._usage.completion
        self._generation, self._parser, self._guard = await self._goes_on(self._said, refused, n_generated)

    async def _finish(self, reason: FinishReason, usage: GenerationUsage | None) -> None:
        if reason is FinishReason.STOP:
            self._unenforced.end_content()
        found = await asyncio.to_thread(self._unenforced.warnings) if self._unenforced else ()
        if self._usage is not None and usage is not None:
            usage = self._usage.and_then(usage)
        self._ready.append(
            ChatDelta(
                finish_reason=self._finish_reason(reason),
                usage=usage,
                warnings=(*self._schemas.warnings, *self._refused, *found),
            )
        )

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._ready.extend(self._deltas(event))

    def _deltas(self, event: Event) -> list[ChatDelta]:
        match event:
            case ContentDelta(text):
                self._unenforced.add_content(text)
                self._said.content += text
                return [ChatDelta(content=text)]
            case ReasoningDelta(text):
                self._said.reasoning += text
                return [ChatDelta(reasoning=text)]
            case ToolCallStart(index, name, call_id):
                self._has_calls = True
                new_id = call_id or _new_id(self._call_id_size)
                self._unenforced.start(index, name, new_id)
                return [ChatDelta(tool_call=ToolCallDelta(index, new_id, name))]
            case ToolCallArguments(index, text):
                self._unenforced.add(index, text)
                return [ChatDelta(tool_call=ToolCallDelta(index, arguments=text))]
            case ToolCallEnd(index):
                self._unenforced.end(index)
                return []
            case _:
                # A retraction cannot be: calls are constrained whenever tools are offered.
                return []

    def _finish_reason(self, reason: FinishReason) -> ChatFinishReason:
        if reason is FinishReason.LENGTH:
            return "length"
        return "tool_calls" if self._has_calls else "stop"


def _new_id(size: int | None) -> str:
    """An id for a call of which the model told none, as its format wants ids in history: they come back there."""
    if size is None:
        return f"call_{secrets.token_hex(12)}"
    return "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(size))


async def fold(deltas: AsyncIterator[ChatDelta]) -> ChatResult:
    """The whole answer of an exhausted stream of deltas. Raises what the stream raises.

    Content that is only white space is None; pieces of a tool call are joined by their index, in order of index.
    """
    content: list[str] = []
    reasoning: list[str] = []
    calls: dict[int, list[ToolCallDelta]] = {}
    end: ChatDelta | None = None
    async for delta in deltas:
        content.append(delta.content or "")
        reasoning.append(delta.reasoning or "")
        if delta.tool_call is not None:
            calls.setdefault(delta.tool_call.index, []).append(delta.tool_call)
        if delta.finish_reason is not None:
            end = delta
    assert end is not None, "a stream of deltas ends with a finish reason"
    assert end.finish_reason is not None, "the end has a finish reason"
    assert end.usage is not None, "the end has the usage"
    text = "".join(content)
    return ChatResult(
        content=text if text.strip() else None,
        reasoning="".join(reasoning) or None,
        tool_calls=tuple(_join(pieces) for _, pieces in sorted(calls.items())),
        finish_reason=end.finish_reason,
        usage=end.usage,
        warnings=end.warnings,
    )


def _join(pieces: list[ToolCallDelta]) -> ToolCallResult:
    first = pieces[0]
    assert first.id is not None, "a call's first delta has its id"
    assert first.name is not None, "a call's first delta has its name"
    return ToolCallResult(first.id, first.name, "".join(piece.arguments for piece in pieces))
