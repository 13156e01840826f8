"""Mistral Small 3.2 as data. Source: the chat template of Mistral-Small-3.2-24B-Instruct-2506."""

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.mistral import MistralCall
from chat_templates.render import ArgumentsAs
from chat_templates.turns import ID_SIZE, alternating_turns

SMALL32 = Family(
    id="mistral-small-3.2",
    title="Mistral Small 3.2",
    template=template_source(__package__),
    output=OutputFormat(call=MistralCall(), stop=("</s>",)),
    arguments_as=ArgumentsAs.OBJECT,
    prepare=alternating_turns,
    markers=("[TOOL_CALLS]", "[CALL_ID]"),
    bos_token="<s>",  # noqa: S106  a token of the vocabulary
    eos_token="</s>",  # noqa: S106
    special_tokens=frozenset({"[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"}),
    call_id_size=ID_SIZE,
    example_model="mistralai/Mistral-Small-3.2-24B-Instruct-2506",
    evidence="S",
)
