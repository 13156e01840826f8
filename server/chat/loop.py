"""When an agent's loop ends: a call that was answered is not made again.

Knows messages in OpenAI's shapes and a parser's events; no token. A small model that is given a result often writes the
call that it answers once more. The law: a call is a repeat only if its name and its arguments, as JSON values, are
those of a call that has a result since the last user message, or of one earlier in the same answer. An error may be
retried once. Any other call passes: chains of calls are what agents are for.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chat_templates import Event, ToolCallArguments, ToolCallEnd, ToolCallStart

# How tools say in text that they failed. At the beginning: a result may well speak of errors further on.
_ERROR = re.compile(r"\W*(traceback|fatal|failed|failure|timed? ?out|\w*(error|exception)\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RepeatedCall:
    """A warning: the answer would have made a call again that has its result."""

    tool: str

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object."""
        message = (
            f"The model called {self.tool!r} again with arguments that were answered already; it was held to text. "
            f"Start the server with --repeat-calls allow to let it."
        )
        return {"type": "repeated_call", "tool": self.tool, "message": message}


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls that are not to be made again: by name, the arguments of each."""

    by_name: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def has(self, name: str, arguments: Any) -> bool:
        """Whether this call is one of them."""
        return any(_same(arguments, known) for known in self.by_name.get(name, ()))


def answered_calls(messages: Sequence[Mapping[str, Any]]) -> Calls:
    """The calls since the last user message that have a result, but for errors that were not retried yet."""
    start = max((i for i, message in enumerate(messages) if message.get("role") == "user"), default=-1) + 1
    turn = messages[start:]
    failures: Counter[str] = Counter()
    answered: dict[str, list[Any]] = {}
    for name, arguments, result in _results(turn):
        failures[f"{name} {json.dumps(arguments, sort_keys=True)}"] += is_error(result)
        if is_error(result) and failures[f"{name} {json.dumps(arguments, sort_keys=True)}"] < 2:
            continue
        answered.setdefault(name, []).append(arguments)
    return Calls(answered)


def is_error(result: str) -> bool:
    """Whether a tool's result says that it failed: in the fields that say so in JSON, or in its first word."""
    try:
        value = json.loads(result)
    except ValueError:
        return _ERROR.match(result) is not None
    if not isinstance(value, dict):
        return isinstance(value, str) and _ERROR.match(value) is not None
    says_so = bool(value.get("error") or value.get("isError") or value.get("is_error"))
    return says_so or value.get("success") is False or value.get("ok") is False or value.get("status") == "error"


class RepeatGuard:
    """Holds back a call that may be a repeat until its arguments tell; lets everything else through at once."""

    def __init__(self, answered: Calls) -> None:
        self._answered = answered
        self._made: dict[str, list[Any]] = {}
        self._name = ""
        self._arguments: list[str] = []
        self._held: list[Event] = []

    def admit(self, event: Event) -> list[Event] | RepeatedCall:
        """The events that may be told now: none while a call is held. Or that it is a repeat, which ends the answer."""
        match event:
            case ToolCallStart(name=name):
                self._name, self._arguments = name, []
                if name in self._answered.by_name or name in self._made:
                    self._held = [event]
                    return []
            case ToolCallArguments(text=text):
                self._arguments.append(text)
                if self._held:
                    self._held.append(event)
                    return []
            case ToolCallEnd():
                arguments = _value("".join(self._arguments))
                if self._held and (self._answered.has(self._name, arguments) or self._was_made(arguments)):
                    self._held = []
                    return RepeatedCall(self._name)
                self._made.setdefault(self._name, []).append(arguments)
                return [*self.release(), event]
        return [event]

    def release(self) -> list[Event]:
        """What is held back, which turned out to be no repeat, or was cut."""
        held, self._held = self._held, []
        return held

    def _was_made(self, arguments: Any) -> bool:
        return any(_same(arguments, known) for known in self._made.get(self._name, ()))


def _results(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any, str]]:
    """Each result with the name and the arguments of its call. One id for two calls answers them in turn."""
    open_calls: dict[str, list[tuple[str, Any]]] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call["function"]
            open_calls.setdefault(call["id"], []).append((function["name"], _value(function["arguments"])))
        waiting = open_calls.get(message.get("tool_call_id", "")) if message.get("role") == "tool" else None
        if waiting:
            yield *waiting.pop(0), _text(message.get("content"))


def _value(arguments: Any) -> Any:
    """Arguments as JSON values; no text is no arguments, and what is no JSON stays text."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except ValueError:
        return arguments


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    return content or ""


def _same(a: Any, b: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, and no number is true or false."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(isinstance(a, bool) == isinstance(b, bool) and a == b)
