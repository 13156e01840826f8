"""Qwen3.5 as data: tools as JSON, calls as tags, and a thought before every answer, which the prompt opens.

Source: the chat template of Qwen3.5-4B, as llama.cpp ships it; calls are what that template prints.
"""

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.parameter_tags import ParameterTagsCall
from chat_templates.qwen3.family import with_thoughts_apart
from chat_templates.qwen3_coder.family import called
from chat_templates.render import ArgumentsAs

QWEN35 = Family(
    id="qwen3.5",
    title="Qwen3.5",
    template=template_source(__package__),
    output=OutputFormat(
        call=ParameterTagsCall("<tool_call>", "</tool_call>"),
        reasoning=("<think>", "</think>"),
        stop=("<|im_end|>", "<|endoftext|>"),
    ),
    arguments_as=ArgumentsAs.OBJECT,
    prepare=with_thoughts_apart,
    system_first=True,
    markers=("<|im_start|>", "<function=example_function_name>", "enable_thinking", "last_query_index"),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<tool_call>", "</tool_call>", "<think>", "</think>"}),
    variables={"called": called},
    without_thinking={"enable_thinking": False},
    opens_thought={},
    example_model="unsloth/Qwen3.5-0.8B-GGUF",
    evidence="S",
)
