"""A call that was answered is not made again, and text after a result is an answer.

Knows messages in OpenAI's shapes and a parser's events; no token. A small model that is given a result often writes the
call that it answers once more. The law: a call is a repeat only if its name and its arguments, as JSON values, are
those of a call that has a result since the last user message, or of one earlier in the same answer. An error may be
retried once, and a tool that fails five times in a row is given up. Any other call passes: chains of calls are what
agents are for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chat_templates import ContentDelta, Event, ToolCallArguments, ToolCallEnd, ToolCallStart
from server.chat.answer.guard import NoAnswer, RepeatedCall
from server.chat.loop.echo import Echoes
from server.chat.loop.results import json_value, results, same, turn_of

MAX_ERRORS = 5
"""Errors of one tool in a row, in one turn, after which it is not called again in it."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls that are not to be made again: by name, the arguments of each; and tools not to be called at all."""

    by_name: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    given_up: Collection[str] = frozenset()

    def may_have(self, name: str) -> bool:
        """Whether a call of this tool may be one of them."""
        return name in self.by_name or name in self.given_up

    def has(self, name: str, arguments: Any) -> bool:
        """Whether this call is one of them."""
        return name in self.given_up or any(same(arguments, known) for known in self.by_name.get(name, ()))


def answered_calls(messages: Sequence[Mapping[str, Any]]) -> Calls:
    """The calls since the last user message that have a result, but for errors that were not retried yet.

    A tool that failed `MAX_ERRORS` times in a row is given up: a model that changes an argument each time has no end.
    """
    in_a_row: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    answered: dict[str, list[Any]] = {}
    for result in results(turn_of(messages)):
        call = f"{result.name} {json.dumps(result.arguments, sort_keys=True)}"
        failures[call] += result.is_error
        in_a_row[result.name] = in_a_row[result.name] + 1 if result.is_error else 0
        if not result.is_error or failures[call] > 1:
            answered.setdefault(result.name, []).append(result.arguments)
    return Calls(answered, frozenset(name for name, n in in_a_row.items() if n >= MAX_ERRORS))


class LoopGuard:
    """Holds back what may be no answer until it tells; lets everything else through at once.

    That is a call with the name of an answered one until its arguments are complete, and with `echoes` the beginning of
    a text that may be a result again.
    """

    def __init__(self, answered: Calls, echoes: Echoes | None = None) -> None:
        self._answered = answered
        self._echoes = echoes
        self._text = ""
        self._made: dict[str, list[Any]] = {}
        self._name = ""
        self._arguments: list[str] = []
        self._held: list[Event] = []

    def admit(self, event: Event) -> list[Event] | RepeatedCall:
        """The events that may be told now, none while they are held; or that a call is a repeat."""
        match event:
            case ContentDelta(text=text) if self._echoes is not None:
                self._text += text
                self._held.append(event)
                return [] if self._echoes.may_be(self._text) else self.release()
            case ToolCallStart(name=name):
                self._echoes = None
                self._name, self._arguments = name, []
                self._held.append(event)
                return [] if self._answered.may_have(name) or name in self._made else self.release()
            case ToolCallArguments(text=text):
                self._arguments.append(text)
                if self._held:
                    self._held.append(event)
                    return []
            case ToolCallEnd():
                arguments = json_value("".join(self._arguments))
                if self._held and (self._answered.has(self._name, arguments) or self._was_made(arguments)):
                    self._held = []
                    return RepeatedCall(self._name)
                self._made.setdefault(self._name, []).append(arguments)
                return [*self.release(), event]
        return [event]

    def release(self) -> list[Event]:
        """What is held back, which turned out to be an answer. Text is held no more."""
        held, self._held = self._held, []
        self._echoes = None
        return held

    def cut(self) -> list[Event] | RepeatedCall:
        """What is held back where a limit cut the answer; or that it cut a call as it was cut before."""
        if self._held and self._arguments and self._answered.has(self._name, json_value("".join(self._arguments))):
            return RepeatedCall(self._name)
        return self.release()

    def end(self) -> list[Event] | NoAnswer:
        """What is held back where the model ended its answer; or that the answer is none."""
        if self._echoes is not None and self._echoes.is_one(self._text):
            return NoAnswer()
        return self.release()

    def _was_made(self, arguments: Any) -> bool:
        return any(same(arguments, known) for known in self._made.get(self._name, ()))
