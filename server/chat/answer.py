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
from server.chat.decisions.record import LowConfidence, Record
from server.chat.decisions.report import Decisions
from server.chat.loop import RepeatedCall, RepeatGuard
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


Withheld = RepeatedCall | LowConfidence
"""Why a call was not made."""


class InWords(Protocol):
    """Begins a generation that goes on in words after what was said; `n_generated` tokens of the answer are spent."""

    async def __call__(self, said: Said, n_generated: int, reason: Withheld) -> tuple[Generation, OutputParser]:
        """The generation and the parser of its text."""
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
        guard: RepeatGuard | None,
        in_words: InWords | None,
        record: Record | None = None,
    ) -> None:
        self._generation = generation
        self._guard = guard
        self._in_words = in_words
        self._said = Said()
        self._usage: GenerationUsage | None = None  # of the generation before this one
        self._withheld: list[Withheld] = []
        self._record = record
        self._decisions: Decisions | None = None
        self._call_id_size = call_id_size
        self._parser = parser
        self._schemas = schemas
        self._unenforced = Unenforced(schemas)
        self._ready: deque[ChatDelta] = deque()
        self._has_calls = False
        self._index = 0  # of the latest call

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
        if self._record is not None:
            self._record.add(chunk)
        events = self._parser.feed(chunk.text)
        if chunk.finish_reason is not None:
            # A constrained call that is not complete here was cut, by a limit or a stop string: nothing else ends it.
            events += self._parser.finish(cut=True)
        for event in events:
            admitted = await self._admit(event)
            if isinstance(admitted, Withheld):
                await self._withhold(admitted, chunk)
                return
            self._tell(admitted)
        if chunk.finish_reason is not None:
            self._tell([] if self._guard is None else self._guard.release())
            await self._finish(chunk.finish_reason, chunk.usage)

    async def _admit(self, event: Event) -> list[Event] | Withheld:
        """The events that may be told now, or why a call is not made."""
        if isinstance(event, ToolCallStart):
            self._index = event.index
            if self._record is not None:
                doubt = await asyncio.to_thread(self._record.doubt, event)
                if doubt is not None:
                    return doubt
        return [event] if self._guard is None else self._guard.admit(event)

    async def _withhold(self, reason: Withheld, chunk: GenerationChunk) -> None:
        """Go on in words, or end the answer with the calls before the one that is not made."""
        self._withheld.append(reason)
        await self._generation.aclose()
        await self._decide(is_cut=True)
        if self._decisions is not None:
            self._decisions = self._decisions.withheld(self._index, reason.fields()["type"])
        self._record = None
        if self._has_calls or self._in_words is None:
            await self._finish(FinishReason.STOP, chunk.usage)
            return
        self._usage, self._guard = chunk.usage, None
        n_generated = 0 if chunk.usage is None else chunk.usage.completion
        self._generation, self._parser = await self._in_words(self._said, n_generated, reason)

    async def _decide(self, *, is_cut: bool) -> None:
        """Make the report of what was recorded, if the client wants it."""
        if self._record is not None and self._record.is_told:
            self._decisions = await asyncio.to_thread(self._record.decisions, is_cut=is_cut)

    async def _finish(self, reason: FinishReason, usage: GenerationUsage | None) -> None:
        if reason is FinishReason.STOP:
            self._unenforced.end_content()
        found = await asyncio.to_thread(self._unenforced.warnings) if self._unenforced else ()
        await self._decide(is_cut=reason is FinishReason.LENGTH)
        if self._usage is not None and usage is not None:
            usage = self._usage.and_then(usage)
        self._ready.append(
            ChatDelta(
                finish_reason=self._finish_reason(reason),
                usage=usage,
                warnings=(*self._schemas.warnings, *self._withheld, *found),
                decisions=self._decisions,
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
        decisions=end.decisions,
    )


def _join(pieces: list[ToolCallDelta]) -> ToolCallResult:
    first = pieces[0]
    assert first.id is not None, "a call's first delta has its id"
    assert first.name is not None, "a call's first delta has its name"
    return ToolCallResult(first.id, first.name, "".join(piece.arguments for piece in pieces))
