"""Qwen2.5 and Arch-Agent as data: one template, another default sentence, tools wrapped or bare.

Sources: the chat template of Qwen2.5-7B-Instruct; for Arch-Agent BFCL's handler, which quotes its template; output
rules as in vLLM's hermes parser tests.
"""

from dataclasses import replace

from chat_templates.family import Family, template_source
from chat_templates.formats import HERMES
from chat_templates.render import ArgumentsAs

QWEN25 = Family(
    id="qwen2.5",
    title="Qwen2.5",
    template=template_source(__package__),
    output=HERMES,
    arguments_as=ArgumentsAs.OBJECT,
    markers=("<tool_call>", "<tool_response>", "You are Qwen, created by Alibaba Cloud"),
    absent=("enable_thinking",),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<tool_call>", "</tool_call>"}),
    variables={
        "default_system": "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        "has_bare_tools": False,
    },
    example_model="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    evidence="S",
)

ARCH_AGENT = replace(
    QWEN25,
    id="arch-agent",
    title="Katanemo Arch-Agent",
    markers=("making one or more function calls if needed",),
    absent=(),
    variables={
        "default_system": "You are a helpful assistant designed to assist with the user query by making one or more "
        "function calls if needed.",
        "has_bare_tools": True,
    },
    example_model="katanemo/Arch-Agent-1.5B",
)
