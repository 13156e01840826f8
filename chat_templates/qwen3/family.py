"""Qwen3 as data: Qwen2.5's calls, no default system text, and reasoning between `<think>` tags.

Source: the chat template of Qwen3-0.6B; output rules as in vLLM's hermes parser tests.
"""

from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import HERMES
from chat_templates.render import ArgumentsAs


def with_thoughts_apart(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take the thoughts out of the content of answers, and tell questions from results that clients send as users'.

    The published template does both by looking for markers in texts of the caller's. In what it is given here those are
    broken, since they are text and not markers.
    """
    return [_with_thought_apart(message) for message in messages]


def _with_thought_apart(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if message["role"] == "user":
        is_result = content.startswith("<tool_response>") and content.endswith("</tool_response>")
        return {**message, "is_question": not is_result}
    is_apart = isinstance(message.get("reasoning_content"), str)
    if message["role"] != "assistant" or is_apart or "</think>" not in content:
        return message
    thought = content.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
    return {**message, "reasoning_content": thought, "content": content.split("</think>")[-1].lstrip("\n")}


QWEN3 = Family(
    id="qwen3",
    title="Qwen3",
    template=template_source(__package__),
    output=HERMES,
    arguments_as=ArgumentsAs.OBJECT,
    markers=("<|im_start|>", "<tool_call>", "<tool_response>", "enable_thinking", "last_query_index"),
    absent=("<function=", "<parameter="),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<tool_call>", "</tool_call>", "<think>", "</think>"}),
    prepare=with_thoughts_apart,
    without_thinking={"enable_thinking": False},
    example_model="Qwen/Qwen3-0.6B-GGUF",
    evidence="S",
)
