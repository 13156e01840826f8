"""Calls are held back until the conversation speaks for them.

Knows a parser's events; no token. The law: a call is told as soon as one of its values is found in the conversation,
and nothing of a call that is refused is ever told.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from chat_templates import ContentDelta, Event, ReasoningDelta, ToolCallArguments, ToolCallEnd, ToolCallStart
from server.chat.answer.guard import Refusal, UnaskedCall, UngroundedCall
from server.chat.evidence.rules import Evidence, MadeCall
from server.chat.loop.results import json_value


class GroundGuard:
    """Holds back an answer's first call until a value of it is found, and refuses it if none is."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._is_open = True
        self._name = ""
        self._arguments = ""
        self._held: list[Event] = []

    def admit(self, event: Event) -> list[Event] | UngroundedCall:
        """See `Guard.admit`."""
        if not self._is_open:
            return [event]
        match event:
            case ToolCallStart(name=name):
                self._name = name
            case ToolCallArguments(text=text):
                self._arguments += text
                if self._evidence.speaks_for(MadeCall(self._name, complete_members(self._arguments))):
                    return [*self.release(), event]
            case ToolCallEnd():
                if not self._evidence.grounds(MadeCall(self._name, json_value(self._arguments))):
                    return UngroundedCall(self._name)
                return [*self.release(), event]
            case _:
                return [event]
        self._held.append(event)
        return []

    def release(self) -> list[Event]:
        """What is held back; nothing is from now on."""
        self._is_open = False
        held, self._held = self._held, []
        return held

    def cut(self) -> list[Event]:
        """See `Guard.cut`."""
        return self.release()

    def end(self) -> list[Event]:
        """See `Guard.end`."""
        return self.release()


class HeldCall:
    """Holds back the call of an index until it is whole, and tells it if it is wanted. Earlier ones were told.

    One that is ruled out by the members that it has so far is refused at once: every token of it costs a step.
    """

    def __init__(
        self,
        is_wanted: Callable[[MadeCall], bool],
        index: int,
        *,
        is_ruled_out: Callable[[MadeCall], bool] | None = None,
        refusal: Callable[[str], Refusal] = UnaskedCall,
    ) -> None:
        self._is_wanted = is_wanted
        self._index = index
        self._is_ruled_out = is_ruled_out
        self._refusal = refusal
        self._name = ""
        self._arguments: list[str] = []
        self._held: list[Event] = []

    def admit(self, event: Event) -> list[Event] | Refusal:
        """See `Guard.admit`."""
        if isinstance(event, ContentDelta | ReasoningDelta) or event.index < self._index:
            return []
        self._held.append(event)
        match event:
            case ToolCallStart(name=name):
                self._name, self._arguments = name, []
            case ToolCallArguments(text=text):
                self._arguments.append(text)
                so_far = MadeCall(self._name, complete_members("".join(self._arguments)))
                if self._is_ruled_out is not None and self._is_ruled_out(so_far):
                    return self._refusal(self._name)
            case ToolCallEnd():
                if not self._is_wanted(MadeCall(self._name, json_value("".join(self._arguments)))):
                    return self._refusal(self._name)
                return self._release()
        return []

    def cut(self) -> list[Event] | Refusal:
        """See `Guard.cut`: a part of a call tells nothing of what is wanted."""
        return self._refusal(self._name) if self._held else []

    def end(self) -> list[Event]:
        """See `Guard.end`."""
        return self._release()

    def _release(self) -> list[Event]:
        held, self._held = self._held, []
        return held


def complete_members(text: str) -> dict[str, Any]:
    """The members of a JSON object that are complete in the beginning of its text; none if it is no object's."""
    members: dict[str, Any] = {}
    decoder = json.JSONDecoder()
    rest = text.lstrip()
    if not rest.startswith("{"):
        return members
    rest = rest[1:].lstrip()
    try:
        while rest.startswith('"'):
            key, end = decoder.raw_decode(rest)
            rest = rest[end:].lstrip()
            if not rest.startswith(":"):
                break
            rest = rest[1:].lstrip()
            value, end = decoder.raw_decode(rest)
            rest = rest[end:].lstrip()
            if not rest.startswith((",", "}")):  # a number may go on
                break
            members[key] = value
            rest = rest[1:].lstrip()
    except ValueError:
        pass
    return members
