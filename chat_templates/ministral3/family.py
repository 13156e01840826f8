"""Ministral 3 Reasoning as data. Source: the chat template of Ministral-3-14B-Reasoning-2512."""

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.mistral import MistralCall
from chat_templates.render import ArgumentsAs
from chat_templates.turns import alternating_turns

MINISTRAL_3 = Family(
    id="ministral-3",
    title="Ministral 3 Reasoning",
    template=template_source(__package__),
    output=OutputFormat(call=MistralCall(has_ids=False), reasoning=("[THINK]", "[/THINK]"), stop=("</s>",)),
    arguments_as=ArgumentsAs.OBJECT,
    prepare=alternating_turns,
    system_first=True,
    markers=("[TOOL_CALLS]", "[ARGS]", "[THINK]"),
    absent=("[CALL_ID]",),
    bos_token="<s>",  # noqa: S106  a token of the vocabulary
    eos_token="</s>",  # noqa: S106
    special_tokens=frozenset({"[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]"}),
    example_model="mistralai/Ministral-3-3B-Reasoning-2512-GGUF",
    evidence="S",
)
