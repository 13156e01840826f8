"""Qwen3-Coder as data. Source: its chat template, as llama.cpp ships it; calls are what that template prints."""

from collections.abc import Mapping
from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.parameter_tags import ParameterTagsCall
from chat_templates.render import ArgumentsAs
from chat_templates.tools import to_json


def called(arguments: Any) -> str:
    """Past arguments as tags: lists and objects as JSON, anything else as Python prints it. Nothing for no object."""
    members = arguments.items() if isinstance(arguments, Mapping) else ()
    return "".join(f"<parameter={name}>\n{_value(value)}\n</parameter>\n" for name, value in members)


def _value(value: Any) -> str:
    return to_json(value) if isinstance(value, Mapping | list) else str(value)


QWEN3_CODER = Family(
    id="qwen3-coder",
    title="Qwen3-Coder",
    template=template_source(__package__),
    output=OutputFormat(call=ParameterTagsCall("<tool_call>", "</tool_call>"), stop=("<|im_end|>", "<|endoftext|>")),
    arguments_as=ArgumentsAs.OBJECT,
    markers=("<|im_start|>", "<function=example_function_name>", "interact with a computer to solve tasks"),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<tool_call>", "</tool_call>"}),
    variables={"called": called},
    example_model="unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF",
    evidence="S",
)
