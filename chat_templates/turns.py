"""Conversations as Mistral's formats can print them: ids of nine characters, users and assistants in turn.

Knows OpenAI's message shapes after normalisation; no text of any format. Law: equal ids stay equal and different ones
different, and what an id becomes depends on nothing but the id, so that a longer conversation renders to a prompt that
begins with the shorter one's.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from chat_templates.errors import TemplateRequestError

ID_SIZE = 9
_ID = re.compile(rf"[a-zA-Z0-9]{{{ID_SIZE}}}")

Messages = list[dict[str, Any]]


def alternating_turns(messages: Messages) -> Messages:
    """Messages with fitting ids, and with an empty assistant turn where a user speaks right after a tool.

    Mistral's templates refuse such a turn; models that never see one answer it as if the assistant had said nothing.
    Raises `TemplateRequestError` naming the message that breaks the order of turns.
    """
    out: Messages = []
    expected = "user"
    for i, message in enumerate(_with_short_ids(messages)):
        role = message["role"]
        if role == "user" and expected == "assistant" and _awaits_answer(out):
            out.append({"role": "assistant", "content": ""})
            expected = "user"
        if role in ("user", "assistant") and not message.get("tool_calls"):
            if role != expected:
                raise TemplateRequestError(
                    f"messages[{i}] is a turn of the {role} where one of the {expected} must follow: after an "
                    f"optional system message, this model takes turns of user and assistant alternately.",
                    param=f"messages[{i}].role",
                )
            expected = "assistant" if role == "user" else "user"
        out.append(message)
    return out


def alternating_turns_after_system(messages: Messages) -> Messages:
    """See `alternating_turns`; for formats that have a place for a system message at the beginning only."""
    for i, message in enumerate(messages[1:], start=1):
        if message["role"] == "system":
            raise TemplateRequestError(
                f"messages[{i}] is a system message; this model takes one, as the first message.",
                param=f"messages[{i}].role",
            )
    return alternating_turns(messages)


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
