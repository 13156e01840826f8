"""Gemma 4 as data: calls and results within the model's turn, thoughts in a channel that is empty unless asked for.

Source: the chat template of Gemma 4 31B, as llama.cpp ships it; calls are what that template prints.
"""

from __future__ import annotations

from typing import Any

from chat_templates.errors import TemplateRequestError
from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.member_list import MemberListCall
from chat_templates.gemma4.declaration import Notation
from chat_templates.render import ArgumentsAs

NOTATION = Notation('<|"|>')
_THOUGHT = ("<|channel>thought\n", "<channel|>")


def with_results_in_turns(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results as part of the turn that called, thoughts out of the content of answers, and each message's index.

    Raises `TemplateRequestError` naming a result that follows no call: this format has no place for it.
    """
    turns: list[dict[str, Any]] = []
    for i, message in enumerate(messages):
        if message["role"] != "tool":
            content = message["content"]
            if message["role"] == "assistant":
                content = "".join(part.split("<|channel>")[0] for part in content.split("<channel|>"))
            turns.append({**message, "content": content, "index": i, "results": []})
            continue
        if not turns or not turns[-1].get("tool_calls"):
            raise TemplateRequestError(
                f"messages[{i}] is a tool's result that follows no call: this model has no place for it.",
                param=f"messages[{i}]",
            )
        calls = [
            call["function"]["name"] for call in turns[-1]["tool_calls"] if call["id"] == message.get("tool_call_id")
        ]
        name = calls[0] if len(calls) == 1 else message.get("name", "unknown")
        turns[-1]["results"].append({"name": name, "content": message["content"]})
    return turns


GEMMA_4 = Family(
    id="gemma-4",
    title="Gemma 4",
    template=template_source(__package__),
    output=OutputFormat(
        call=MemberListCall("<|tool_call>", "<tool_call|>", NOTATION.quote),
        reasoning=_THOUGHT,
        stop=("<turn|>", "<|tool_response>", "<eos>"),
    ),
    arguments_as=ArgumentsAs.OBJECT,
    prepare=with_results_in_turns,
    markers=("<|turn>", "<|tool_call>", "<|channel>thought"),
    bos_token="<bos>",  # noqa: S106  a token of the vocabulary
    eos_token="<turn|>",  # noqa: S106
    special_tokens=frozenset({"<|tool_call>", "<tool_call|>", NOTATION.quote, "<|channel>", "<channel|>"}),
    variables={"notation": NOTATION},
    example_model="unsloth/gemma-4-E2B-it-GGUF",
    evidence="S",
)
