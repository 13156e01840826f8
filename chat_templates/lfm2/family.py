"""LFM2, LFM2.5 and the reasoning LFM2.5 as data: one template, three ways to frame tools, results and thoughts.

Sources: the chat templates of LFM2-8B-A1B, LFM2.5-1.2B-Instruct and LFM2.5-8B-A1B. The first two print an answer's text
alone and leave calls to their caller; these are printed as the third one prints them, behind the text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.tagged_python import TaggedPythonCall
from chat_templates.render import ArgumentsAs
from chat_templates.tools import to_json


def called(calls: Sequence[Mapping[str, Any]]) -> str:
    """Past calls as the reasoning model's template prints them: texts between single quotes, objects as JSON."""
    return ", ".join(_call(call["function"]) for call in calls)


def _call(function: Mapping[str, Any]) -> str:
    arguments = function["arguments"]
    if not isinstance(arguments, Mapping):
        return f"{function['name']}({arguments!r})"
    return f"{function['name']}({', '.join(f'{key}={_value(value)}' for key, value in arguments.items())})"


def _value(value: Any) -> str:
    """A literal. The template's own text in quotes is kept where Python reads it as the same text."""
    if isinstance(value, str):
        return f"'{value}'" if not set(value) & set("'\\\n\r") else repr(value)
    return to_json(value) if isinstance(value, Mapping) else str(value)


LFM2 = Family(
    id="lfm2",
    title="Liquid LFM2",
    template=template_source(__package__),
    output=OutputFormat(
        call=TaggedPythonCall(), reasoning=("<think>", "</think>"), stop=("<|im_end|>", "<|endoftext|>")
    ),
    arguments_as=ArgumentsAs.OBJECT,
    markers=("<|tool_list_start|>", "<|tool_response_start|>", "List of tools: "),
    bos_token="<|startoftext|>",  # noqa: S106  a token of the vocabulary
    eos_token="<|im_end|>",  # noqa: S106
    special_tokens=frozenset({"<|tool_call_start|>", "<|tool_call_end|>", "<think>", "</think>"}),
    variables={"called": called, "has_tool_tokens": True, "thinks": False},
    example_model="LiquidAI/LFM2-1.2B-GGUF",
    evidence="SI",
)

LFM25 = replace(
    LFM2,
    id="lfm2.5",
    title="Liquid LFM2.5",
    markers=("List of tools: [", "keep_past_thinking"),
    absent=("<|tool_list_start|>",),
    variables={"called": called, "has_tool_tokens": False, "thinks": False},
    example_model="LiquidAI/LFM2.5-1.2B-Instruct-GGUF",
)

LFM25_THINKING = replace(
    LFM2,
    id="lfm2.5-thinking",
    title="Liquid LFM2.5, reasoning",
    markers=("List of tools: [", "preserve_thinking", "<|tool_call_start|>"),
    absent=("<|tool_list_start|>",),
    variables={"called": called, "has_tool_tokens": False, "thinks": True},
    example_model="LiquidAI/LFM2.5-8B-A1B-GGUF",
    evidence="S",
)
