"""Llama 3.1 and 3.2 (and 3.3, whose template is 3.1's) as data.

Sources: the chat templates of Meta-Llama-3.1-8B-Instruct and Llama-3.2-3B-Instruct; output rules as in vLLM's
llama3_json parser tests. The two differ in the date that the system turn prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.llama import LlamaCall
from chat_templates.render import ArgumentsAs


def one_call_a_turn(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parallel calls as turns of their own, each followed by its result: a turn of this format holds one call."""
    turns: list[dict[str, Any]] = []
    moved: set[int] = set()
    for i, message in enumerate(messages):
        calls = message.get("tool_calls", ())
        if len(calls) < 2:
            if i not in moved:
                turns.append(message)
            continue
        for call in calls:
            turns.append({**message, "tool_calls": [call]})
            at = next((k for k in _results_of(messages, i, call["id"]) if k not in moved), None)
            if at is not None:
                turns.append(messages[at])
                moved.add(at)
    return turns


def _results_of(messages: list[dict[str, Any]], turn: int, call_id: str) -> Iterator[int]:
    """Where results of a turn's call stand: before the next turn that calls, since ids may be used again there."""
    for k in range(turn + 1, len(messages)):
        if messages[k].get("tool_calls"):
            return
        if messages[k]["role"] == "tool" and messages[k].get("tool_call_id") == call_id:
            yield k


LLAMA_31 = Family(
    id="llama-3.1",
    title="Llama 3.1",
    template=template_source(__package__),
    output=OutputFormat(
        call=LlamaCall(),
        code_marker="<|python_tag|>",
        stop=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
    ),
    arguments_as=ArgumentsAs.OBJECT,
    markers=("respond with a JSON for a function call", "builtin_tools is defined"),
    absent=("strftime_now",),
    bos_token="<|begin_of_text|>",  # noqa: S106  a token of the vocabulary
    eos_token="<|eot_id|>",  # noqa: S106
    special_tokens=frozenset({"<|python_tag|>"}),
    variables={"date": "26 Jul 2024"},
    prepare=one_call_a_turn,
    pseudo_tools=frozenset({"code_interpreter"}),
    example_model="bartowski/Meta-Llama-3.1-8B-Instruct-GGUF",
    evidence="S",
)

LLAMA_32 = replace(
    LLAMA_31,
    id="llama-3.2",
    title="Llama 3.2",
    markers=("respond with a JSON for a function call", "strftime_now"),
    absent=("builtin_tools is defined",),
    variables={"date": None},
    example_model="bartowski/Llama-3.2-1B-Instruct-GGUF",
    evidence="S",
)
