"""Hermes-2-Pro (and Hermes 3, whose `tool_use` template is the same) as data.

Source: the `tool_use` template of NousResearch/Hermes-2-Pro-Llama-3-8B; output rules as in vLLM's hermes parser tests.
"""

from dataclasses import replace

from chat_templates.family import Family, template_source
from chat_templates.formats import HERMES
from chat_templates.hermes.signature import signature
from chat_templates.render import ArgumentsAs, function_tools

HERMES_2_PRO = Family(
    id="hermes-2-pro",
    title="Hermes 2 Pro",
    template=template_source(__package__),
    output=replace(HERMES, stop=(*HERMES.stop, "<|eot_id|>")),
    arguments_as=ArgumentsAs.OBJECT,
    markers=("pydantic model json schema",),
    bos_token="<|begin_of_text|>",  # noqa: S106  a token of the vocabulary
    eos_token="<|im_end|>",  # noqa: S106
    special_tokens=frozenset({"<tool_call>", "</tool_call>"}),
    variables={"signature": signature, "functions_of": lambda tools: function_tools(tools or ())},
    example_model="NousResearch/Hermes-2-Pro-Llama-3-8B-GGUF",
    needs_description=True,
    evidence="S",
)
