"""Generated text becomes the deltas of an answer; `fold` makes the whole answer of the same deltas: one path.

Knows a family's parser and the engine's chunks; no HTTP and no token.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Self

from chat_templates import (
    ContentDelta,
    Event,
    OutputParser,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from server.chat.answer.continuation import Continuation, Next, Said
from server.chat.answer.guard import Guard, NoAnswer, Refusal, UnaskedCall
from server.chat.decisions.record import Record
from server.chat.decisions.report import Decisions
from server.chat.evidence.rules import MadeCall
from server.chat.loop.results import json_value
from server.chat.request import AnswerWarning, ChatDelta, ChatFinishReason, ChatResult, ToolCallDelta, ToolCallResult
from server.chat.schemas.enforced import EnforcedSchemas
from server.chat.schemas.unenforced import Unenforced
from server.engine.generation import Generation
from server.engine.types import FinishReason, GenerationChunk, GenerationUsage, TokenChoice

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits


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
        guards: Sequence[Guard],
        continuation: Continuation | None,
        record: Record | None = None,
        tells_tokens: bool = False,
        warnings: tuple[AnswerWarning, ...] = (),
    ) -> None:
        self._generation = generation
        self._n_prompt = generation.n_prompt
        self._guards = list(guards)
        self._continuation = continuation
        self._text = ""  # the answer's, as the model wrote it, and of it what stands: whole calls that were told
        self._stands = ""
        self._record = record
        self._tells_tokens = tells_tokens
        self._warnings = warnings
        self._tokens: list[TokenChoice] = []  # not told yet, and of them how many an earlier generation wrote
        self._n_standing = 0
        self._decisions: Decisions | None = None
        self._index = 0  # of the latest call
        self._made: dict[int, list[str]] = {}  # by index, the name and the pieces of the arguments
        self._said = Said()
        self._usage: GenerationUsage | None = None  # of the generation before this one
        self._refused: tuple[AnswerWarning, ...] = ()
        self._call_id_size = call_id_size
        self._parser = parser
        self._schemas = schemas
        self._unenforced = Unenforced(schemas)
        self._ready: deque[ChatDelta] = deque()
        self._has_calls = False
        self._is_over = False

    @property
    def n_prompt(self) -> int:
        """How many tokens the prompt has."""
        return self._n_prompt

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatDelta:
        while not self._ready:
            if self._is_over:
                raise StopAsyncIteration
            await self._read(await anext(self._generation))
        delta = self._ready.popleft()
        if self._tokens:
            delta = replace(delta, tokens=tuple(self._tokens))
            self._tokens.clear()
            self._n_standing = 0
        return delta

    async def aclose(self) -> None:
        """Abort the generation if it is still running. May be called again."""
        await self._generation.aclose()

    async def _read(self, chunk: GenerationChunk) -> None:
        self._text += chunk.text
        if self._tells_tokens:
            self._tokens += chunk.choices
        if self._record is not None:
            self._record.add(chunk)
        events = self._parser.feed(chunk.text)
        if chunk.finish_reason is not None:
            # A constrained call that is not complete here was cut, by a limit or a stop string: nothing else ends it.
            events += self._parser.finish(cut=True)
        for event in events:
            admitted = await self._doubted(event) or self._admit(event)
            if not isinstance(admitted, list):
                await self._go_on(admitted, chunk)
                return
            self._tell(admitted)
        if chunk.finish_reason is not None:
            await self._end(chunk.finish_reason, chunk)

    async def _doubted(self, event: Event) -> Refusal | None:
        """Why a call that begins is less sure than its client wants; None if it is sure enough, or nobody asked."""
        if not isinstance(event, ToolCallStart):
            return None
        self._index = event.index
        return None if self._record is None else await asyncio.to_thread(self._record.doubt, event)

    def _admit(self, event: Event, first: int = 0) -> list[Event] | Refusal:
        """What of an event the guards from `first` on let through, in turn; or why one does not."""
        events = [event]
        for guard in self._guards[first:]:
            passed: list[Event] = []
            for each in events:
                admitted = guard.admit(each)
                if not isinstance(admitted, list):
                    return admitted
                passed += admitted
            events = passed
        return events

    async def _end(self, reason: FinishReason, chunk: GenerationChunk) -> None:
        """Tell what was held back, and finish; unless what the model ended is no answer, or not the whole of it."""
        for i, guard in enumerate(self._guards):
            held = guard.end() if reason is FinishReason.STOP else guard.cut()
            if not isinstance(held, list):
                if reason is FinishReason.STOP:
                    await self._go_on(held, chunk)
                else:
                    await self._end_without(held, chunk)
                return
            for event in held:
                passed = self._admit(event, i + 1)
                self._tell(passed if isinstance(passed, list) else [])
        usage = self._spent(chunk.usage)
        if reason is FinishReason.STOP and self._has_calls and self._continuation is not None:
            self._stands = self._text
            further = await self._continuation.further(self._calls(), self._stands)
            if further is not None:
                await self._decide(is_cut=False)
                self._begin(further, usage)
                return
        await self._finish(reason, usage, chunk.stop)

    async def _end_without(self, refused: Refusal, chunk: GenerationChunk) -> None:
        """End an answer of which a limit cut a call that is not made: there is nothing left to go on with."""
        if isinstance(refused, UnaskedCall):
            await self._finish(FinishReason.STOP, self._spent(chunk.usage))
            return
        self._refused = self._refused or (refused,)
        await self._finish(FinishReason.LENGTH, self._spent(chunk.usage))

    async def _go_on(self, refused: Refusal, chunk: GenerationChunk) -> None:
        """Go on in place of what was refused, or end the answer with the calls that were not."""
        await self._generation.aclose()
        del self._tokens[self._n_standing :]
        await self._decide(is_cut=True)
        if self._decisions is not None and not isinstance(refused, NoAnswer | UnaskedCall):
            self._decisions = self._decisions.withheld(self._index, refused.fields()["type"])
        self._record = None
        continuation, further = self._continuation, None
        if isinstance(refused, UnaskedCall):
            usage = self._usage if self._usage is None or chunk.usage is None else self._usage.besides(chunk.usage)
            if continuation is not None:
                continuation.exclude(refused.tool)
                further = await continuation.further(self._calls(), self._stands)
        else:
            usage = self._spent(chunk.usage)
            self._refused = self._refused or (refused,)
            if not self._has_calls and continuation is not None:
                further = await continuation.in_place_of(refused, self._said)
        if further is None:
            await self._finish(FinishReason.STOP, usage)
        else:
            self._begin(further, usage)

    def _begin(self, further: Next, usage: GenerationUsage | None) -> None:
        self._usage = usage
        self._n_standing = len(self._tokens)
        self._generation, self._parser = further.generation, further.parser
        self._guards = list(further.guards)
        self._text = further.text

    def _spent(self, usage: GenerationUsage | None) -> GenerationUsage | None:
        """What the answer has cost so far, with this generation."""
        return usage if self._usage is None or usage is None else self._usage.and_then(usage)

    def _calls(self) -> list[MadeCall]:
        return [MadeCall(name, json_value("".join(pieces))) for name, *pieces in self._made.values()]

    async def _decide(self, *, is_cut: bool) -> None:
        """Make the report of what was recorded, if the client wants it."""
        if self._record is not None and self._record.is_told:
            self._decisions = await asyncio.to_thread(self._record.decisions, is_cut=is_cut)

    async def _finish(self, reason: FinishReason, usage: GenerationUsage | None, stop: str | None = None) -> None:
        if reason is FinishReason.STOP:
            self._unenforced.end_content()
        found = await asyncio.to_thread(self._unenforced.warnings) if self._unenforced else ()
        await self._decide(is_cut=reason is FinishReason.LENGTH)
        left_out = () if self._continuation is None else self._continuation.ended()
        self._is_over = True
        self._ready.append(
            ChatDelta(
                finish_reason=self._finish_reason(reason),
                usage=usage,
                warnings=(*self._warnings, *self._schemas.warnings, *self._refused, *left_out, *found),
                decisions=self._decisions,
                stop=stop,
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
                self._made[index] = [name]
                new_id = call_id or _new_id(self._call_id_size)
                self._unenforced.start(index, name, new_id)
                return [ChatDelta(tool_call=ToolCallDelta(index, new_id, name))]
            case ToolCallArguments(index, text):
                self._made[index].append(text)
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
    tokens: list[TokenChoice] = []
    end: ChatDelta | None = None
    async for delta in deltas:
        content.append(delta.content or "")
        reasoning.append(delta.reasoning or "")
        tokens += delta.tokens
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
        tokens=tuple(tokens),
    )


def _join(pieces: list[ToolCallDelta]) -> ToolCallResult:
    first = pieces[0]
    assert first.id is not None, "a call's first delta has its id"
    assert first.name is not None, "a call's first delta has its name"
    return ToolCallResult(first.id, first.name, "".join(piece.arguments for piece in pieces))
