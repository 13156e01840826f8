"""Conversations as formats can print them that take less than any order of turns: who speaks when, and Mistral's ids.

Knows OpenAI's message shapes after normalisation; no text of any format. Laws: nothing that was said is left out; equal
ids stay equal and different ones different, and what an id becomes depends on nothing but the id, so that a longer
conversation renders to a prompt that begins with the shorter one's.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from chat_templates.errors import TemplateRequestError

ID_SIZE = 9
_ID = re.compile(rf"[a-zA-Z0-9]{{{ID_SIZE}}}")

Messages = list[dict[str, Any]]


def system_at_the_start(messages: Messages) -> tuple[Messages, tuple[int, ...]]:
    """Messages with one system message at most, the first; later ones are the user's, and told by their indices.

    Agents remind a model in the middle of a conversation. Said by the user it is heard; refused, every later turn of
    that conversation is refused as well.
    """
    n_opening = next((i for i, message in enumerate(messages) if message["role"] != "system"), len(messages))
    late = tuple(i for i, message in enumerate(messages) if message["role"] == "system" and i >= n_opening)
    rest = [{**message, "role": "user"} if i in late else message for i, message in enumerate(messages)][n_opening:]
    return joined_turns([*messages[:n_opening], *rest]), late


def joined_turns(messages: Messages) -> Messages:
    """Messages in which nobody speaks twice in a row: such turns are one, each text a paragraph of its own.

    Turns that call, and results, stay as they are.
    """
    out: Messages = []
    for message in messages:
        last = out[-1] if out else None
        if last is not None and last["role"] == message["role"] and _is_text(last) and _is_text(message):
            content = "\n\n".join(filter(None, (last["content"], message["content"])))
            out[-1] = {**last, "content": content}
        else:
            out.append(message)
    return out


def alternating_turns(messages: Messages) -> Messages:
    """Messages with fitting ids, nobody twice in a row, and an empty assistant turn where a user follows a tool.

    Mistral's templates refuse such turns; models that never see an empty turn answer it as if the assistant had said
    nothing. Raises `TemplateRequestError` naming an assistant's message that nobody spoke before.
    """
    out: Messages = []
    for message in joined_turns(_with_short_ids(messages)):
        if message["role"] == "user" and out and _awaits_answer(out):
            out.append({"role": "assistant", "content": ""})
        out.append(message)
    speakers = [i for i, message in enumerate(messages) if message["role"] != "system" and _is_text(message)]
    if speakers and messages[speakers[0]]["role"] != "user":
        raise TemplateRequestError(
            f"messages[{speakers[0]}] is a turn of the assistant where one of the user must come: after an optional "
            f"system message, this model takes turns of user and assistant alternately.",
            param=f"messages[{speakers[0]}].role",
        )
    return out


def _is_text(message: dict[str, Any]) -> bool:
    return message["role"] != "tool" and not message.get("tool_calls")


def _awaits_answer(messages: Messages) -> bool:
    return messages[-1]["role"] == "tool" or bool(messages[-1].get("tool_calls"))


def _with_short_ids(messages: Messages) -> Messages:
    """Messages whose ids of calls, and of results, are nine letters and digits. Missing ids go by their place."""
    out: Messages = []
    pending: list[str] = []
    for i, message in enumerate(messages):
        if message.get("tool_calls"):
            calls = [
                {**call, "id": _short_id(call["id"] or f"{i}.{k}")} for k, call in enumerate(message["tool_calls"])
            ]
            pending = [call["id"] for call in calls]
            out.append({**message, "tool_calls": calls})
        elif message["role"] == "tool":
            given = message.get("tool_call_id")
            call_id = _short_id(given) if given else next(iter(pending), _short_id(f"{i}"))
            pending = [each for each in pending if each != call_id]
            out.append({**message, "tool_call_id": call_id})
        else:
            out.append(message)
    return out


def _short_id(call_id: str) -> str:
    return call_id if _ID.fullmatch(call_id) else hashlib.sha256(call_id.encode()).hexdigest()[:ID_SIZE]
