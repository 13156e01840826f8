"""Mistral Nemo as data. Source: the chat template of Mistral-Nemo-Instruct-2407.

With that template a system message is part of the user's turn that ends a conversation: after a tool's result it is
not printed. Calls end with an id; it is not told, since the arguments stream before it is read.
"""

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.mistral import MistralList
from chat_templates.render import ArgumentsAs
from chat_templates.turns import ID_SIZE, alternating_turns

NEMO = Family(
    id="mistral-nemo",
    title="Mistral Nemo",
    template=template_source(__package__),
    output=OutputFormat(call=MistralList(), stop=("</s>",)),
    arguments_as=ArgumentsAs.OBJECT,
    prepare=alternating_turns,
    system_first=True,
    markers=("[TOOL_CALLS][", "[AVAILABLE_TOOLS]["),
    bos_token="<s>",  # noqa: S106  a token of the vocabulary
    eos_token="</s>",  # noqa: S106
    special_tokens=frozenset({"[TOOL_CALLS]"}),
    call_id_size=ID_SIZE,
    example_model="mistralai/Mistral-Nemo-Instruct-2407",
    evidence="S",
)
