"""A conversation with tools told as one without: what a small model is asked when it has to answer in words.

Knows messages in OpenAI's shapes; no family and no token. The law: no call and no tool's turn is left, and no result
that says something is lost. Small models refuse or invent after turns of tools that they do not know; a question with
its results they read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from server.chat.loop.results import Result, results, text_of

_RESULTS = "Results of tools:"
_ASK = "Answer with what these results say, in words, with every number, time and name."


def told(messages: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The same conversation in which each question has the results that followed it.

    Left out are the calls, what was said beside them, and errors that a later call mended. Results without a question
    are a message of their own.
    """
    turns: list[list[Mapping[str, Any]]] = [[]]
    for message in messages:
        if message.get("role") == "user":
            turns.append([])
        turns[-1].append(message)
    return tuple(message for turn in turns for message in _told(turn))


def _told(turn: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    found = _that_count(list(results(turn)))
    kept = [message for message in turn if message.get("role") != "tool" and not message.get("tool_calls")]
    if not found:
        return kept
    asked = next((i for i, message in enumerate(kept) if message.get("role") == "user"), None)
    question = "" if asked is None else text_of(kept[asked].get("content"))
    content = "\n\n".join(filter(None, (question, "\n".join((_RESULTS, *map(_line, found))), _ASK)))
    message = {"role": "user", "content": content}
    if asked is None:  # before what was answered, behind the system's words
        n_system = next((i for i, m in enumerate(kept) if m.get("role") == "assistant"), len(kept))
        return [*kept[:n_system], message, *kept[n_system:]]
    return [*kept[:asked], {**kept[asked], **message}, *kept[asked + 1 :]]


def _that_count(found: Sequence[Result]) -> list[Result]:
    """The results without repetitions, and without errors that a later call of the tool mended."""
    counting: list[Result] = []
    for i, result in enumerate(found):
        later = found[i + 1 :]
        is_mended = result.is_error and any(other.mends(result) for other in later)
        is_said_again = any(other.is_of_the_same_call(result) and other.text == result.text for other in later)
        if not is_mended and not is_said_again:
            counting.append(result)
    return counting


def _line(result: Result) -> str:
    """The result behind the values that it is for. Not as a call: small models write that again."""
    arguments = result.arguments
    values = list(arguments.values()) if isinstance(arguments, Mapping) else [arguments]
    said = ", ".join(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values)
    return f"{result.name} for {said}: {result.text}" if said else f"{result.name}: {result.text}"
