"""The items of an output while they are made: each begins, grows by pieces, and ends, and says so in events.

Pure: pieces in, JSON values out. The law: an item that has ended is what its events add up to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from server.api.request.custom import InputText
from server.api.responses.head import item_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.api.responses.tools import OfferedTool

Event = dict[str, Any]
"""One event with its type, without a number."""


class OpenItem(Protocol):
    """An item that is being made."""

    def begin(self) -> list[Event]:
        """What is sent before the first piece."""
        ...

    def add(self, piece: str, logprobs: Sequence[dict[str, Any]] = ()) -> list[Event]:
        """What one more piece is, with what its tokens were chosen from, where that was asked for and is told."""
        ...

    def end(self, status: str) -> list[Event]:
        """What ends it as "completed" or "incomplete"."""
        ...

    @property
    def item(self) -> dict[str, Any]:
        """The item as it is."""
        ...


@dataclass(frozen=True, slots=True)
class _Words:
    """What the two kinds of items with a text are made of: fields of the item, of its part, and of its events."""

    kind: str
    event: str
    fields: Mapping[str, Any]
    part: str
    has_logprobs: bool = False


_MESSAGE = _Words("message", "output_text", {"role": "assistant"}, "output_text", has_logprobs=True)
_THOUGHT = _Words("reasoning", "reasoning_text", {"summary": []}, "reasoning_text")


class TextItem:
    """A message, or a thought: an item with one part of text."""

    def __init__(self, words: _Words, response_id: str, index: int) -> None:
        self._words = words
        self._text = ""
        self._logprobs: list[dict[str, Any]] = []
        self._has_part = False
        self._where = {"item_id": item_id(words.kind, response_id, index), "output_index": index}
        self._status = "in_progress"

    @property
    def item(self) -> dict[str, Any]:
        """The item as it is."""
        words = self._words
        content = [self._part()] if self._has_part else []
        head = {"id": self._where["item_id"], "type": words.kind, "status": self._status}
        return {**head, **words.fields, "content": content}

    def begin(self) -> list[Event]:
        """The item and its empty part."""
        added = {"type": "response.output_item.added", "output_index": self._where["output_index"], "item": self.item}
        self._has_part = True
        return [added, {"type": "response.content_part.added", **self._in_part(), "part": self._part()}]

    def add(self, piece: str, logprobs: Sequence[dict[str, Any]] = ()) -> list[Event]:
        """One more piece of the text."""
        self._text += piece
        self._logprobs += logprobs
        return [self._event("delta", logprobs, delta=piece)]

    def end(self, status: str) -> list[Event]:
        """The text, the part and the item, whole."""
        self._status = status
        return [
            self._event("done", self._logprobs, text=self._text),
            {"type": "response.content_part.done", **self._in_part(), "part": self._part()},
            {"type": "response.output_item.done", "output_index": self._where["output_index"], "item": self.item},
        ]

    def _event(self, what: str, logprobs: Sequence[dict[str, Any]], **told: str) -> Event:
        beside = {"logprobs": [*logprobs]} if self._words.has_logprobs else {}
        return {"type": f"response.{self._words.event}.{what}", **self._in_part(), **told, **beside}

    def _in_part(self) -> dict[str, Any]:
        return {**self._where, "content_index": 0}

    def _part(self) -> dict[str, Any]:
        beside = {"annotations": [], "logprobs": [*self._logprobs]} if self._words.has_logprobs else {}
        return {"type": self._words.part, "text": self._text, **beside}


def message(response_id: str, index: int) -> TextItem:
    """What the model says."""
    return TextItem(_MESSAGE, response_id, index)


def thought(response_id: str, index: int) -> TextItem:
    """What the model thinks."""
    return TextItem(_THOUGHT, response_id, index)


@dataclass(slots=True)
class CallItem:
    """A call of a function, with arguments, or of a custom tool, with its input."""

    tool: OfferedTool | None
    shown: str
    call_id: str
    response_id: str
    index: int
    _written: str = ""
    _status: str = "in_progress"
    _input: InputText = field(default_factory=InputText)

    @property
    def item(self) -> dict[str, Any]:
        """The item as it is."""
        kind = "custom_tool_call" if self._is_custom else "function_call"
        tool = self.tool
        # A call of what is not offered keeps the name that the model wrote.
        namespace = {} if tool is None or tool.namespace is None else {"namespace": tool.namespace}
        return {
            "id": self._id,
            "type": kind,
            "status": self._status,
            "call_id": self.call_id,
            **namespace,
            "name": self._name,
            "input" if self._is_custom else "arguments": self._written,
        }

    def begin(self) -> list[Event]:
        """The item with nothing written."""
        return [{"type": "response.output_item.added", "output_index": self.index, "item": self.item}]

    def add(self, piece: str, logprobs: Sequence[dict[str, Any]] = ()) -> list[Event]:
        """One more piece of the arguments as the model writes them. Nobody is told of their tokens."""
        del logprobs
        told = self._input.feed(piece) if self._is_custom else piece
        if not told:
            return []
        self._written += told
        return [{"type": f"{self._event}.delta", **self._where, "delta": told}]

    def end(self, status: str) -> list[Event]:
        """What was written, and the item, whole."""
        self._status = status
        written = {"input": self._written} if self._is_custom else {"arguments": self._written, "name": self._name}
        return [
            {"type": f"{self._event}.done", **self._where, **written},
            {"type": "response.output_item.done", "output_index": self.index, "item": self.item},
        ]

    @property
    def _is_custom(self) -> bool:
        return self.tool is not None and self.tool.kind == "custom"

    @property
    def _name(self) -> str:
        return self.shown if self.tool is None else self.tool.name

    @property
    def _event(self) -> str:
        return f"response.{'custom_tool_call_input' if self._is_custom else 'function_call_arguments'}"

    @property
    def _id(self) -> str:
        return item_id("custom_tool_call" if self._is_custom else "function_call", self.response_id, self.index)

    @property
    def _where(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self.index}
