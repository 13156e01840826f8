"""A chat service that says what it was told to say: the API's tests need no model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from byte_vocabulary import ByteVocabulary

from server.api.state import ModelFacts, ServedModel
from server.chat.request import ChatDelta, ChatPrompt, ToolCallDelta
from server.chat.tokens import TextTokens
from server.engine.types import FinishReason, GenerationChunk, GenerationUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.chat.completion import CompletionRequest
    from server.chat.request import ChatRequest

    Item = ChatDelta | GenerationChunk | Exception | asyncio.Event

USAGE = GenerationUsage(prompt=82, cached=64, completion=17, forced=11, decode_steps=6)

TEXT = (
    ChatDelta(content="Hel"),
    ChatDelta(content="lo, "),
    ChatDelta(content="世界"),
    ChatDelta(finish_reason="stop", usage=USAGE),
)

CALLS = (
    ChatDelta(content="\n"),
    ChatDelta(tool_call=ToolCallDelta(0, "call_a", "get_weather")),
    ChatDelta(tool_call=ToolCallDelta(0, arguments='{"city": "')),
    ChatDelta(tool_call=ToolCallDelta(0, arguments='Paris"}')),
    ChatDelta(tool_call=ToolCallDelta(1, "call_b", "get_weather")),
    ChatDelta(tool_call=ToolCallDelta(1, arguments='{"city": "Oslo"}')),
    ChatDelta(finish_reason="tool_calls", usage=USAGE),
)


SO_FAR = GenerationUsage(prompt=82, cached=64, completion=3, forced=0, decode_steps=2)
PIECES = (
    GenerationChunk("once ", usage=SO_FAR),
    GenerationChunk(""),
    GenerationChunk("upon", FinishReason.STOP, USAGE),
)


class ScriptedStream:
    """Yields a script's deltas, raises its exceptions, waits where it has an event; remembers being closed."""

    def __init__(self, script: Sequence[Item]) -> None:
        self._script = list(script)
        self.is_closed = asyncio.Event()
        self.n_prompt = USAGE.prompt

    def __aiter__(self) -> ScriptedStream:
        return self

    async def __anext__(self) -> ChatDelta | GenerationChunk:
        while self._script:
            item = self._script.pop(0)
            if isinstance(item, Exception):
                raise item
            if isinstance(item, ChatDelta | GenerationChunk):
                return item
            await item.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.is_closed.set()


class ScriptedChat:
    """Answers every request with `script`, or refuses it with `refusal`; keeps requests and streams."""

    def __init__(self, script: Sequence[Item] = TEXT) -> None:
        self.script = script
        self.refusal: Exception | None = None
        self.requests: list[ChatRequest] = []
        self.streams: list[ScriptedStream] = []

    async def open(self, request: ChatRequest) -> ScriptedStream:
        self.requests.append(request)
        if self.refusal is not None:
            raise self.refusal
        stream = ScriptedStream(self.script)
        self.streams.append(stream)
        return stream

    async def prompt(self, request: ChatRequest) -> ChatPrompt:
        self.requests.append(request)
        if self.refusal is not None:
            raise self.refusal
        return ChatPrompt("".join(str(message["content"]) for message in request.messages), (1, 2, 3))


class ScriptedCompletion:
    """The same for text completions; after `n_admitted` requests the next ones are refused."""

    def __init__(self, script: Sequence[Item] = PIECES) -> None:
        self.script = script
        self.refusal: Exception | None = None
        self.n_admitted = 0
        self.requests: list[CompletionRequest] = []
        self.streams: list[ScriptedStream] = []

    async def open(self, request: CompletionRequest) -> ScriptedStream:
        self.requests.append(request)
        if self.refusal is not None and len(self.streams) >= self.n_admitted:
            raise self.refusal
        stream = ScriptedStream(self.script)
        self.streams.append(stream)
        return stream


FACTS = ModelFacts(
    n_ctx=8192,
    n_ctx_train=32768,
    n_embd=64,
    n_params=135_000_000,
    size_bytes=90_000_000,
    description="tiny 135M Q4_1",
    family="chatml",
    template="{{ messages }}",
    bos="",
    eos="<|end|>",
    n_parallel=4,
    can_think=False,
)


def served(chat=None, completion=None, names=("tiny",), **more):
    """A model as the API sees it, scripted and of bytes; `more` are others of its fields."""
    fields = {"n_vocab": 100, "fingerprint": "fg_test", "facts": FACTS, "tokens": TextTokens(ByteVocabulary()), **more}
    return ServedModel(chat or ScriptedChat(), completion or ScriptedCompletion(), names, **fields)
