"""MiniCPM5 as data: tools as JSON, calls as tags with names in attributes, thoughts where they are asked for.

Source: the chat template of MiniCPM5-1B, as llama.cpp ships it; calls are what that template prints, once each: what it
collects in a loop besides is lost where the loop ends. Its `<tool_sep>` and `<tool_def_sep>`, which cut an answer and
place the tools within the system's text, are text here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.parameter_tags import AttributeTagsCall
from chat_templates.lark.parameter_tags import is_raw
from chat_templates.qwen3.family import with_thoughts_apart
from chat_templates.render import ArgumentsAs


def called(arguments: Any) -> str:
    """Past arguments as tags, each value as Python prints it. Nothing for no object."""
    members = arguments.items() if isinstance(arguments, Mapping) else ()
    return "".join(f'<param name="{name}">{_value(value)}</param>' for name, value in members)


def _value(value: Any) -> str:
    return f"<![CDATA[{value}]]>" if isinstance(value, str) and is_raw(value) else str(value)


MINICPM5 = Family(
    id="minicpm5",
    title="MiniCPM5",
    template=template_source(__package__),
    output=OutputFormat(
        call=AttributeTagsCall(),
        reasoning=("<think>", "</think>"),
        stop=("<|im_end|>", "</s>"),
    ),
    arguments_as=ArgumentsAs.OBJECT,
    prepare=with_thoughts_apart,
    markers=("<|im_start|>", '<function name="function-name">', "<![CDATA["),
    bos_token="<s>",  # noqa: S106  a token of the vocabulary
    eos_token="<|im_end|>",  # noqa: S106
    special_tokens=frozenset({"<think>", "</think>"}),
    variables={"called": called},
    without_thinking={"enable_thinking": False},
    opens_thought={"enable_thinking": True},
    example_model="openbmb/MiniCPM5-1B-GGUF",
    evidence="S",
)
