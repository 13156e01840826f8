"""Qwen3 as data: Qwen2.5's calls, no default system text, and reasoning between `<think>` tags.

Source: the chat template of Qwen3-0.6B; output rules as in vLLM's hermes parser tests.
"""

from chat_templates.family import Family, template_source
from chat_templates.formats import HERMES
from chat_templates.render import ArgumentsAs

QWEN3 = Family(
    id="qwen3",
    title="Qwen3",
    template=template_source(__package__),
    output=HERMES,
    arguments_as=ArgumentsAs.OBJECT,
    markers=("<tool_call>", "<tool_response>", "enable_thinking", "last_query_index"),
    absent=("<function=", "<parameter="),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<tool_call>", "</tool_call>", "<think>", "</think>"}),
    without_thinking={"enable_thinking": False},
    example_model="Qwen/Qwen3-0.6B-GGUF",
    evidence="S",
)
