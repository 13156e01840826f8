"""Granite 4.0 and 4.1 as data: one template, with a default system text or without.

Sources: IBM's chat templates of both, as llama.cpp ships them; calls are what these templates ask for.
"""

from dataclasses import replace

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.wrapped import WrappedCall
from chat_templates.render import ArgumentsAs

GRANITE_40 = Family(
    id="granite-4.0",
    title="IBM Granite 4.0",
    template=template_source(__package__),
    output=OutputFormat(call=WrappedCall("<tool_call>", "</tool_call>"), stop=("<|end_of_text|>",)),
    arguments_as=ArgumentsAs.OBJECT,
    markers=("<|start_of_role|>", "<tool_call>", "g4_default_system_message"),
    eos_token="<|end_of_text|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<tool_call>", "</tool_call>"}),
    variables={
        "default_system": "You are a helpful assistant. Please ensure responses are professional, accurate, and safe."
    },
    example_model="ibm-granite/granite-4.0-h-350m-GGUF",
    evidence="S",
)

GRANITE_41 = replace(
    GRANITE_40,
    id="granite-4.1",
    title="IBM Granite 4.1",
    markers=("<|start_of_role|>", "<tool_call>", "tools_system_message_prefix"),
    absent=("g4_default_system_message",),
    variables={"default_system": ""},
    example_model="ibm-granite/granite-4.1-3b-GGUF",
)
