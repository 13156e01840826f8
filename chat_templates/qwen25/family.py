"""Qwen2.5 as data. Source: the chat template of Qwen2.5-7B-Instruct; output rules as in vLLM's hermes parser tests."""

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat, WrappedCall
from chat_templates.render import ArgumentsAs

QWEN25 = Family(
    id="qwen2.5",
    title="Qwen2.5",
    template=template_source(__package__),
    output=OutputFormat(
        call=WrappedCall("<tool_call>", "</tool_call>"),
        reasoning=("<think>", "</think>"),
        stop=("<|im_end|>", "<|endoftext|>"),
    ),
    arguments_as=ArgumentsAs.OBJECT,
    markers=("<tool_call>", "<tool_response>", "You are Qwen, created by Alibaba Cloud"),
    absent=("enable_thinking",),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<tool_call>", "</tool_call>"}),
    example_model="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    evidence="S",
)
