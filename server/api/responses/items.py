"""The items of an input become messages: shapes checked, every refusal with the place in `param`.

Knows this dialect's items and how a turn is spread over several of them: what an assistant thought, said and called
is one message. Knows no template. The law: an item says something to the model, decorates, or is refused by its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from server.api.request.custom import arguments_of
from server.api.request.fields import invalid, missing, only, text
from server.api.request.ignored import CALL, MESSAGE, PART, IgnoredParameters
from server.api.responses.places import MessagePlace
from server.api.responses.tools import shown_name

Placed = tuple[str, Mapping[str, Any]]
"""An item with its place."""

_ROLES = ("user", "assistant", "system", "developer")
_INSTRUCTING = ("system", "developer")
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
# What answers and stored items carry and clients send back: it says nothing to the model, and is not even named.
_OWN = frozenset({"id", "status", "created_by", "phase", "type"})
_OWN_OF_PART = frozenset({"annotations", "logprobs"})
_HOSTED_CALLS = frozenset(
    {
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "tool_search_call",
        "tool_search_output",
        "mcp_list_tools",
        "mcp_call",
        "mcp_approval_request",
        "mcp_approval_response",
    }
)


def read_items(items: Iterable[Placed], ignored: IgnoredParameters) -> list[tuple[dict[str, Any], MessagePlace]]:
    """The messages of a conversation in chat completions' shape, each with its place.

    Items need no id, status or, if they have a role, type. Several messages of a system or developer at the beginning
    are one: many models take one. References to stored items must be resolved before. Raises `RequestError` for an
    unknown type or role, a result without its call, and what cannot be shown to a model as text. What says nothing to
    the model is left out and, unless every answer carries it, added to `ignored`.
    """
    turns = _Turns()
    for at, item in items:
        kind = _type(item, at)
        if kind in _HOSTED_CALLS:
            ignored.add(at, f"items of the type {kind!r} are a cloud's and say nothing to the model")
            continue
        reader = _READERS.get(kind)
        if reader is None:
            raise invalid(
                f"{at}.type", f"{kind!r} is not supported; there are: {', '.join(_READERS)}, and item_reference"
            )
        reader(turns, item, at, ignored)
    return turns.messages()


def _type(item: Mapping[str, Any], at: str) -> str:
    kind = item.get("type")
    if kind is None and "role" in item:
        return "message"
    if kind is None:
        raise missing(f"{at}.type")
    if not isinstance(kind, str):
        raise invalid(f"{at}.type", "expected a string", code="invalid_type")
    return kind


class _Turns:
    """The messages so far. Thoughts, text and calls of an assistant join in one until somebody else speaks."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._places: list[tuple[str, list[str]]] = []
        self._calls: dict[str, str] = {}  # the kinds of calls by their ids

    def messages(self) -> list[tuple[dict[str, Any], MessagePlace]]:
        return [
            (message, MessagePlace(at, tuple(calls)))
            for message, (at, calls) in zip(self._messages, self._places, strict=True)
        ]

    def add(self, message: dict[str, Any], at: str) -> None:
        if message["role"] in _INSTRUCTING and all(each["role"] in _INSTRUCTING for each in self._messages):
            self._instruct(message, at)
            return
        self._messages.append(message)
        self._places.append((at, []))

    def say(self, content: str | list[dict[str, Any]], at: str) -> None:
        turn = self._turn(at, lambda turn: turn["content"] is None)
        turn["content"] = content

    def think(self, thought: str, at: str) -> None:
        turn = self._turn(at, lambda turn: turn["content"] is None and "tool_calls" not in turn)
        turn["reasoning_content"] = turn.get("reasoning_content", "") + thought

    def call(self, call_id: str, function: dict[str, str], kind: str, at: str) -> None:
        turn = self._turn(at, lambda _turn: True)
        turn.setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})
        self._places[-1][1].append(at)
        self._calls[call_id] = kind

    def result(self, call_id: str, kind: str, content: str | list[dict[str, Any]], at: str) -> None:
        if call_id not in self._calls:
            raise invalid(f"{at}.call_id", f"no call before it has the id {call_id!r}")
        if self._calls[call_id] != kind:
            raise invalid(f"{at}.type", f"the call {call_id!r} is a {self._calls[call_id]}")
        self.add({"role": "tool", "content": content, "tool_call_id": call_id}, at)

    def _turn(self, at: str, goes_on: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The assistant's last message if it goes on with what comes, else a new one."""
        last = self._messages[-1] if self._messages else None
        if last is None or last["role"] != "assistant" or not goes_on(last):
            last = {"role": "assistant", "content": None}
            self.add(last, at)
        return last

    def _instruct(self, message: dict[str, Any], at: str) -> None:
        if not self._messages:
            self._messages.append({**message, "role": "system"})
            self._places.append((at, []))
            return
        first = self._messages[0]
        first["content"] = f"{_plain(first['content'])}\n\n{_plain(message['content'])}"


def _plain(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _message(turns: _Turns, item: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> None:
    given = _known(item, at, MESSAGE, ignored)
    only(given, at, {"role", "content"})
    role = given.get("role")
    if role not in _ROLES:
        instead = "; the result of a call is a function_call_output" if role in ("tool", "function") else ""
        raise invalid(f"{at}.role", f"{role!r} is none of: {', '.join(_ROLES)}{instead}")
    content = _content(given.get("content"), f"{at}.content", ignored)
    if role == "assistant":
        turns.say(content, at)
    else:
        turns.add({"role": role, "content": content}, at)


def _reasoning(turns: _Turns, item: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> None:
    """A thought in words is the assistant's; a summary of one, or an encrypted one, says nothing to the model."""
    given = _known(item, at, MESSAGE, ignored)
    only(given, at, {"summary", "content", "encrypted_content"})
    parts = given.get("content")
    if not parts:
        ignored.add(at, "a thought without its text says nothing to the model")
        return
    if not isinstance(parts, list):
        raise invalid(f"{at}.content", "expected an array", code="invalid_type")
    thought = ""
    for i, part in enumerate(parts):
        place = f"{at}.content[{i}]"
        if not isinstance(part, dict) or part.get("type") not in ("reasoning_text", "text"):
            raise invalid(place, "expected an object of the type 'reasoning_text'")
        thought += text(part, "text", place)
    turns.think(thought, at)


def _function_call(turns: _Turns, item: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> None:
    given = _known(item, at, CALL - {"call_id"} | {"async"}, ignored)
    only(given, at, {"call_id", "name", "namespace", "arguments"})
    function = {"name": _call_name(given, at), "arguments": text(given, "arguments", at)}
    turns.call(text(given, "call_id", at), function, "function_call", at)


def _custom_call(turns: _Turns, item: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> None:
    given = _known(item, at, CALL - {"call_id"} | {"async"}, ignored)
    only(given, at, {"call_id", "name", "namespace", "input"})
    function = {"name": _call_name(given, at), "arguments": arguments_of(text(given, "input", at))}
    turns.call(text(given, "call_id", at), function, "custom_tool_call", at)


def _call_name(call: Mapping[str, Any], at: str) -> str:
    namespace = text(call, "namespace", at) if call.get("namespace") is not None else None
    return shown_name(text(call, "name", at), namespace)


def _result_of(kind: str) -> Callable[[_Turns, Mapping[str, Any], str, IgnoredParameters], None]:
    def read(turns: _Turns, item: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> None:
        given = _known(item, at, CALL - {"call_id"} | {"async", "name", "namespace"}, ignored)
        only(given, at, {"call_id", "output"})
        content = _content(given.get("output"), f"{at}.output", ignored)
        turns.result(text(given, "call_id", at), kind, content, at)

    return read


_READERS: Mapping[str, Callable[[_Turns, Mapping[str, Any], str, IgnoredParameters], None]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "function_call_output": _result_of("function_call"),
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _result_of("custom_tool_call"),
}


def _known(item: Mapping[str, Any], at: str, decoration: frozenset[str], ignored: IgnoredParameters) -> dict[str, Any]:
    """An item without nulls, without what every answer carries, and without what decorates it, which is named."""
    given = {name: value for name, value in item.items() if value is not None and name not in _OWN}
    return ignored.without(given, at, decoration - _OWN)


def _content(content: Any, at: str, ignored: IgnoredParameters) -> str | list[dict[str, Any]]:
    if content is None:
        raise missing(at)
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(at, "expected a string or an array of parts", code="invalid_type")
    if not content:
        return ""
    return [_part(part, f"{at}[{i}]", ignored) for i, part in enumerate(content)]


def _part(part: Any, at: str, ignored: IgnoredParameters) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise invalid(at, "expected an object with a type", code="invalid_type")
    kind = part.get("type")
    holder = _TEXTS.get(kind) if isinstance(kind, str) else None
    if holder is None:
        raise invalid(f"{at}.type", f"the part type {kind!r} is not supported; only text is understood")
    given = {name: value for name, value in part.items() if value is not None and name not in _OWN_OF_PART}
    plain = ignored.without(given, at, PART | {"prompt_cache_breakpoint"})
    only(plain, at, {"type", holder})
    return {"type": "text", "text": text(plain, holder, at)}
