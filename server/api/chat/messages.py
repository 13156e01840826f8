"""The messages of a request: shapes checked, every refusal with the place in `param`, nothing else changed.

Knows OpenAI's roles and content parts, the obsolete ones too: a `function_call` and its result become a tool call
and its result here, and nothing behind this module knows of them. Knows no template: what a family makes of a message
is `chat_templates`' own.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from server.api.request.custom import arguments_of
from server.api.request.fields import invalid, missing, only, text
from server.api.request.ignored import CALL, MESSAGE, PART, IgnoredParameters
from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# Parts of content as other APIs type them.
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
_TEXTS = frozenset({"input_text", "output_text"})

# What answers carry and clients send back with their history. It says nothing to the model.
_ECHOED = frozenset({"annotations", "audio", "parsed", "refusal"})


def read_messages(
    messages: Sequence[Mapping[str, Any]], ignored: IgnoredParameters | None = None
) -> tuple[dict[str, Any], ...]:
    """The messages in OpenAI's present shape, fields without a value left out.

    What clients store with a message and send back is left out, and added to `ignored`: nobody can edit a history.
    Raises `RequestError` for no messages, an unknown role, a result without its call, and every shape that cannot be
    shown to a model as text. A call without its result is allowed.
    """
    if not messages:
        raise RequestError("messages is empty; send at least one.", param="messages", code="invalid_value")
    history, ignored = _History(), IgnoredParameters() if ignored is None else ignored
    return tuple(history.add(_message(message, f"messages[{i}]", ignored), i) for i, message in enumerate(messages))


class _History:
    """The calls so far: every result belongs to one of them."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        # The ids of obsolete calls by name, oldest first: their results have no id, so they are taken in order.
        self._unanswered: dict[str, deque[str]] = {}

    def add(self, message: dict[str, Any], i: int) -> dict[str, Any]:
        """The i-th message, an obsolete call or result rewritten. Raises `RequestError` for a result without a call."""
        if "function_call" in message:
            message = self._rewrite_call(message, i)
        elif message["role"] == "function":
            return self._rewrite_result(message, i)
        elif message["role"] == "tool" and message["tool_call_id"] not in self._ids:
            raise invalid(
                f"messages[{i}].tool_call_id",
                f"no assistant message before it has a call with the id {message['tool_call_id']!r}",
            )
        self._ids.update(call["id"] for call in message.get("tool_calls", ()))
        return message

    def _rewrite_call(self, message: dict[str, Any], i: int) -> dict[str, Any]:
        function = message["function_call"]
        # Made from the place, so that the same history is the same prompt.
        call_id = f"function_call_{i}"
        self._unanswered.setdefault(function["name"], deque()).append(call_id)
        rest = {name: value for name, value in message.items() if name != "function_call"}
        return {**rest, "tool_calls": [{"id": call_id, "type": "function", "function": function}]}

    def _rewrite_result(self, message: dict[str, Any], i: int) -> dict[str, Any]:
        unanswered = self._unanswered.get(message["name"])
        if not unanswered:
            raise invalid(
                f"messages[{i}].name", f"no function_call of {message['name']!r} before it waits for a result"
            )
        return {**message, "role": "tool", "tool_call_id": unanswered.popleft()}


def _message(message: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> dict[str, Any]:
    role = message.get("role")
    reader = _READERS.get(role) if isinstance(role, str) else None
    if reader is None:
        raise invalid(f"{at}.role", f"{role!r} is none of: {', '.join(_READERS)}")
    given = _with_plain_thought({name: value for name, value in message.items() if value is not None}, at, ignored)
    given = ignored.without(given, at, MESSAGE)
    if isinstance(given.get("content"), list):
        given["content"] = [part for j, part in _said(given["content"], f"{at}.content", ignored)]
    if isinstance(given.get("tool_calls"), list):
        calls = enumerate(given["tool_calls"])
        given["tool_calls"] = [_plain_call(call, f"{at}.tool_calls[{j}]", ignored) for j, call in calls]
    is_empty = message.get("content", "") is None or given.get("content") == [] or "reasoning_content" in given
    if is_empty and not given.get("content") and "refusal" not in given and not _has_calls(given):
        given["content"] = ""  # a result of nothing, a turn that was left empty, or one that was all thought
    return reader(given, at)


def _plain_call(call: Any, at: str, ignored: IgnoredParameters) -> Any:
    if not isinstance(call, dict):
        return call
    plain = ignored.without(call, at, CALL)
    if isinstance(plain.get("function"), dict):
        plain["function"] = ignored.without(plain["function"], f"{at}.function", CALL)
    return plain


def _with_plain_thought(message: dict[str, Any], at: str, ignored: IgnoredParameters) -> dict[str, Any]:
    """An assistant's thought under the one name that families know; other servers call it otherwise."""
    for name in ("reasoning", "thinking"):
        thought = message.get(name)
        if thought is None or message["role"] != "assistant":
            continue
        rest = {key: value for key, value in message.items() if key != name}
        if isinstance(thought, str) and "reasoning_content" not in rest:
            message = {**rest, "reasoning_content": thought}
        else:
            ignored.add(f"{at}.{name}", "it says nothing to the model")
            message = rest
    return message


def _said(parts: Sequence[Any], at: str, ignored: IgnoredParameters) -> Iterator[tuple[int, Any]]:
    """The parts of a content that are no thoughts, without what decorates them; each with its place."""
    for j, part in enumerate(parts):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            yield j, part
        elif part["type"] in _THOUGHTS:
            ignored.add(f"{at}[{j}]", "a thought of an earlier turn says nothing to the model")
        else:
            plain = ignored.without(part, f"{at}[{j}]", PART)
            yield j, {**plain, "type": "text"} if part["type"] in _TEXTS else plain


def _has_calls(message: Mapping[str, Any]) -> bool:
    return bool(message.get("tool_calls")) or "function_call" in message


def _speaker(message: Mapping[str, Any], at: str) -> dict[str, Any]:
    only(message, at, {"role", "content", "name"})
    return {"role": message["role"], "content": _content(message, at), **_name(message, at)}


def _tool(message: Mapping[str, Any], at: str) -> dict[str, Any]:
    only(message, at, {"role", "content", "name", "tool_call_id"})
    call_id = text(message, "tool_call_id", at)
    return {"role": "tool", "content": _content(message, at), "tool_call_id": call_id, **_name(message, at)}


def _function_result(message: Mapping[str, Any], at: str) -> dict[str, Any]:
    only(message, at, {"role", "content", "name"})
    return {"role": "function", "content": _content(message, at), "name": text(message, "name", at)}


def _assistant(message: Mapping[str, Any], at: str) -> dict[str, Any]:
    only(message, at, {"role", "content", "name", "tool_calls", "function_call", "reasoning_content"} | _ECHOED)
    if message.get("audio"):
        raise invalid(f"{at}.audio", "only text is understood")
    read: dict[str, Any] = {"role": "assistant", "content": None, **_name(message, at)}
    calls = message.get("tool_calls", [])
    if not isinstance(calls, list):
        raise invalid(f"{at}.tool_calls", "expected an array")
    if calls and "function_call" in message:
        raise invalid(f"{at}.function_call", "a message has tool_calls or a function_call, not both")
    if "content" in message:
        read["content"] = _content(message, at)
    elif "refusal" in message:
        read["content"] = text(message, "refusal", at)
    elif not _has_calls(message):
        raise missing(f"{at}.content")
    if calls:
        read["tool_calls"] = [_call(call, f"{at}.tool_calls[{i}]") for i, call in enumerate(calls)]
    if "function_call" in message:
        read["function_call"] = _function(message["function_call"], f"{at}.function_call")
    if "reasoning_content" in message:
        read["reasoning_content"] = text(message, "reasoning_content", at)
    return read


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
    "developer": _speaker,
    "system": _speaker,
    "user": _speaker,
    "assistant": _assistant,
    "tool": _tool,
    "function": _function_result,
}


def _content(message: Mapping[str, Any], at: str) -> str | list[dict[str, Any]]:
    at = f"{at}.content"
    content = message.get("content")
    if content is None:
        raise missing(at)
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise invalid(at, "expected a string or a non-empty array of text parts")
    return [_part(part, f"{at}[{j}]") for j, part in enumerate(content)]


def _part(part: Any, at: str) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise invalid(at, "expected an object with a type")
    kind = part.get("type")
    if kind == "refusal":
        return {"type": "text", "text": text(part, "refusal", at)}
    if kind != "text":
        raise RequestError(
            f"Invalid {at}: the part type {kind!r} is not supported; only 'text' is.",
            param=at,
            code="invalid_value",
        )
    only(part, at, {"type", "text"})
    return {"type": "text", "text": text(part, "text", at)}


def _call(call: Any, at: str) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise invalid(at, "expected an object")
    if call.get("type") == "custom":
        return _custom_call(call, at)
    only(call, at, {"id", "type", "function", "index"})
    if call.get("type", "function") != "function":
        raise invalid(f"{at}.type", f"{call['type']!r} is not supported; only 'function' and 'custom' are")
    if call.get("function") is None:
        raise missing(f"{at}.function")
    return {
        "id": text(call, "id", at),
        "type": "function",
        "function": _function(call["function"], f"{at}.function"),
    }


def _custom_call(call: Mapping[str, Any], at: str) -> dict[str, Any]:
    only(call, at, {"id", "type", "custom", "index"})
    custom, place = call.get("custom"), f"{at}.custom"
    if not isinstance(custom, dict):
        raise invalid(place, "expected an object", code="invalid_type")
    only(custom, place, {"name", "input"})
    function = {"name": text(custom, "name", place), "arguments": arguments_of(text(custom, "input", place))}
    return {"id": text(call, "id", at), "type": "function", "function": function}


def _function(function: Any, at: str) -> dict[str, Any]:
    if not isinstance(function, dict):
        raise invalid(at, "expected an object", code="invalid_type")
    # `index` and `parsed_arguments` come from clients that send back what their SDK collected.
    only(function, at, {"name", "arguments", "parsed_arguments"})
    return {"name": text(function, "name", at), "arguments": text(function, "arguments", at)}


def _name(message: Mapping[str, Any], at: str) -> dict[str, str]:
    return {"name": text(message, "name", at)} if "name" in message else {}
