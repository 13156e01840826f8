"""The conversation of a body in the shape that the chat service knows: shapes checked, every refusal with its place.

Knows Anthropic's roles and blocks. Laws: results come right after the turn that called, before what the user says with
them; turns of one role in a row are one turn; what an answer was echoed with (thoughts, marks of a cache) says nothing
to the model. A call's id is told with `toolu_` in front, which is taken off here.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.api.request.fields import invalid, missing, only, text
from server.chat.loop.results import is_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server.api.request.ignored import IgnoredParameters

ID_PREFIX = "toolu_"
# A line that Claude Code puts in front of its system prompt, another one each time: no prefix would ever be found.
BILLING = "x-anthropic-billing-header"

_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
_DECORATION = frozenset({"cache_control", "citations", "caller", "toolset_name"})
_ROLES = ("user", "assistant", "system")
_MEDIA = {
    "image": "images are not understood here; describe it in a text block",
    "document": "documents are not read here; send the text of it as a text block",
    "search_result": "results of a search are not read here; send the text of it as a text block",
}


@dataclass(frozen=True, slots=True)
class Said:
    """A message in OpenAI's shape, and the client's place of it."""

    place: str
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Block:
    place: str
    type: str
    fields: dict[str, Any]


def read_history(
    system: str | Sequence[Mapping[str, Any]] | None,
    messages: Sequence[Mapping[str, Any]],
    ignored: IgnoredParameters,
    *,
    is_continued: bool,
) -> list[Said]:
    """The system prompt and the messages. What says nothing to the model is left out, and added to `ignored`.

    `is_continued`: the model is to answer, so that the last turn may not be its own. Raises `RequestError` for no
    messages, a result without its call, and every block that cannot be shown to a model as text.
    """
    if not messages:
        raise invalid("messages", "it is empty; send at least one")
    read = _System(ignored).read(system)
    call_ids: set[str] = set()
    turns = [_turn(message, f"messages[{i}]", ignored) for i, message in enumerate(messages)]
    for role, group in itertools.groupby(turns, key=lambda turn: turn[0]):
        several = list(group)
        place, blocks = several[0][1], [block for _, _, blocks in several for block in blocks]
        if role == "user":
            read += _user(blocks, place, call_ids)
        elif role == "system":
            read.append(Said(place, {"role": "system", "content": _joined(blocks)}))
        else:
            read.append(_assistant(blocks, place))
            call_ids |= {block.fields["id"] for block in blocks if block.type == "tool_use"}
    if is_continued and turns[-1][0] == "assistant":
        raise invalid(
            f"messages[{len(messages) - 1}].role",
            "an answer is not continued here (prefilled); let the last message be the user's",
        )
    return read


def call_id(told: str) -> str:
    """The id of a call as the model knows it."""
    return told.removeprefix(ID_PREFIX)


class _System:
    """Reads the system prompt: text, or blocks of text."""

    def __init__(self, ignored: IgnoredParameters) -> None:
        self._ignored = ignored

    def read(self, system: str | Sequence[Mapping[str, Any]] | None) -> list[Said]:
        if isinstance(system, str):
            kept = [self._without_billing(system, "system")]
        else:
            blocks = _blocks(system or [], "system", {"text"}, self._ignored)
            kept = [self._without_billing(block.fields["text"], block.place) for block in blocks]
        said = "\n".join(text for text in kept if text)
        return [Said("system", {"role": "system", "content": said})] if said else []

    def _without_billing(self, text: str, at: str) -> str:
        if not text.startswith(BILLING):
            return text
        self._ignored.add(at, "a billing header says nothing to the model, and another one each time forgets it all")
        return text.partition("\n")[2]


_KINDS = {
    "system": frozenset({"text"}),
    "user": frozenset({"text", "tool_result"}),
    "assistant": frozenset({"text", "tool_use"}),
}


def _turn(message: Mapping[str, Any], at: str, ignored: IgnoredParameters) -> tuple[str, str, list[_Block]]:
    """A message's role, its place and its blocks."""
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        raise invalid(f"{at}.role", f"{role!r} is none of: {', '.join(_ROLES)}")
    only(message, at, {"role", "content"})
    place = f"{at}.content"
    if content is None:
        raise missing(place)
    return role, at, _blocks(content, place, _KINDS[role], ignored)


def _blocks(
    content: Any, at: str, kinds: frozenset[str] | set[str], ignored: IgnoredParameters, *, names_tools: bool = False
) -> list[_Block]:
    """The blocks of a content that say something, checked. Text is a block of text."""
    if isinstance(content, str):
        return [_Block(at, "text", {"text": content})]
    if not isinstance(content, list):
        raise invalid(at, "expected a string or an array of blocks", code="invalid_type")
    read = (_block(block, f"{at}[{j}]", kinds, ignored, names_tools=names_tools) for j, block in enumerate(content))
    return [block for block in read if block is not None]


def _block(
    block: Any, at: str, kinds: frozenset[str] | set[str], ignored: IgnoredParameters, *, names_tools: bool
) -> _Block | None:
    if not isinstance(block, dict):
        raise invalid(at, "expected an object with a type", code="invalid_type")
    kind = block.get("type")
    if not isinstance(kind, str):
        raise missing(f"{at}.type") if kind is None else invalid(f"{at}.type", "expected a string", code="invalid_type")
    if kind in _THOUGHTS and "tool_use" in kinds:
        ignored.add(at, "a thought of an earlier turn says nothing to the model")
        return None
    fields = {name: value for name, value in block.items() if value is not None and name not in _DECORATION}
    if names_tools and kind == "tool_reference":
        # All tools are shown from the beginning; that one was found is told by its name.
        return _Block(at, "text", {"text": text(fields, "tool_name", at)})
    if kind in _MEDIA:
        raise invalid(f"{at}.type", _MEDIA[kind])
    if kind not in kinds:
        raise invalid(f"{at}.type", f"{kind!r} is not supported here; there are: {', '.join(sorted(kinds))}")
    return _Block(at, kind, _READERS[kind](fields, at, ignored))


def _text(fields: dict[str, Any], at: str, _ignored: IgnoredParameters) -> dict[str, Any]:
    only(fields, at, {"type", "text"})
    return {"text": text(fields, "text", at)}


def _tool_use(fields: dict[str, Any], at: str, _ignored: IgnoredParameters) -> dict[str, Any]:
    only(fields, at, {"type", "id", "name", "input"})
    arguments = fields.get("input")
    if arguments is None:
        raise missing(f"{at}.input")
    if not isinstance(arguments, dict):
        raise invalid(f"{at}.input", "expected an object", code="invalid_type")
    return {"id": text(fields, "id", at), "name": text(fields, "name", at), "input": arguments}


def _tool_result(fields: dict[str, Any], at: str, ignored: IgnoredParameters) -> dict[str, Any]:
    only(fields, at, {"type", "tool_use_id", "content", "is_error"})
    failed = fields.get("is_error", False)
    if not isinstance(failed, bool):
        raise invalid(f"{at}.is_error", "expected a boolean", code="invalid_type")
    blocks = _blocks(fields.get("content", ""), f"{at}.content", {"text"}, ignored, names_tools=True)
    said = _joined(blocks)
    if failed and not is_error(said):
        said = f"Error: {said}" if said else "Error"
    return {"id": text(fields, "tool_use_id", at), "content": said}


_READERS = {"text": _text, "tool_use": _tool_use, "tool_result": _tool_result}


def _joined(blocks: Sequence[_Block]) -> str:
    """The text of blocks, each a paragraph of its own."""
    return "\n".join(block.fields["text"] for block in blocks if block.fields["text"])


def _user(blocks: Sequence[_Block], at: str, call_ids: set[str]) -> Iterator[Said]:
    results = [block for block in blocks if block.type == "tool_result"]
    for block in results:
        told = block.fields["id"]
        if told not in call_ids:
            raise invalid(f"{block.place}.tool_use_id", f"no tool_use before it has the id {told!r}")
        result = {"role": "tool", "content": block.fields["content"], "tool_call_id": call_id(told)}
        yield Said(block.place, result)
    texts = [block for block in blocks if block.type == "text"]
    if texts or not results:
        yield Said(at, {"role": "user", "content": _joined(texts)})


def _assistant(blocks: Sequence[_Block], at: str) -> Said:
    # An answer's text is one text, wherever its calls stood.
    said = "".join(block.fields["text"] for block in blocks if block.type == "text")
    calls = [_call(block.fields) for block in blocks if block.type == "tool_use"]
    if not calls:
        return Said(at, {"role": "assistant", "content": said})
    return Said(at, {"role": "assistant", "content": said or None, "tool_calls": calls})


def _call(fields: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(fields["input"], ensure_ascii=False)
    return {
        "id": call_id(fields["id"]),
        "type": "function",
        "function": {"name": fields["name"], "arguments": arguments},
    }
