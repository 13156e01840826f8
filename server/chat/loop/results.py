"""What tools said in a conversation: each result with its call, and whether it is an error.

Knows messages in OpenAI's shapes; no token and no event. The law: arguments and results are compared as JSON values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# How tools say in text that they failed. At the beginning: a result may well speak of errors further on.
_ERROR = re.compile(r"\W*(traceback|fatal|failed|failure|timed? ?out|\w*(error|exception)\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool said to a call. `arguments` is a JSON value, or the text of what is none; `text` is as it came."""

    name: str
    arguments: Any
    text: str

    @property
    def is_error(self) -> bool:
        """Whether it says that the call failed."""
        return is_error(self.text)

    def is_of_the_same_call(self, other: Result) -> bool:
        """Whether the other answers the same call."""
        return self.name == other.name and same(self.arguments, other.arguments)

    def mends(self, error: Result) -> bool:
        """Whether it answers what the error did not: the same call, or one of the same tool about the same."""
        if self.is_error or self.name != error.name:
            return False
        if same(self.arguments, error.arguments):
            return True
        tried = [leaf.casefold() for leaf in leaves_of(error.arguments)]
        return any(a in b or b in a for a in tried for b in (leaf.casefold() for leaf in leaves_of(self.arguments)))


def turn_of(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The messages since the last one of the user."""
    return messages[max((i for i, message in enumerate(messages) if message.get("role") == "user"), default=-1) + 1 :]


def question_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the user's last message."""
    return next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")


def results(messages: Sequence[Mapping[str, Any]]) -> Iterator[Result]:
    """Each result with the name and the arguments of its call. One id for two calls answers them in turn."""
    open_calls: dict[str, list[tuple[str, Any]]] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call["function"]
            open_calls.setdefault(call["id"], []).append((function["name"], json_value(function["arguments"])))
        waiting = open_calls.get(message.get("tool_call_id", "")) if message.get("role") == "tool" else None
        if waiting:
            yield Result(*waiting.pop(0), text_of(message.get("content")))


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


def json_value(arguments: Any) -> Any:
    """Arguments as JSON values; no text is no arguments, and what is no JSON stays text."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except ValueError:
        return arguments


def text_of(content: Any) -> str:
    """The text of a message's content, its parts joined."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    return content or ""


def leaves_of(value: Any) -> Iterator[str]:
    """The values in a JSON value that are no objects, no lists, no booleans and not empty, as text."""
    if isinstance(value, Mapping):
        for part in value.values():
            yield from leaves_of(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves_of(part)
    elif value is not None and not isinstance(value, bool) and value != "":
        yield str(value)


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, and no number is true or false."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(isinstance(a, bool) == isinstance(b, bool) and a == b)
