"""Functionary v3.1 and v4r as data.

Source: MeetKai/functionary, prompt templates `v3-llama3.1` and `v3-llama3.1-reasoning`. The two differ in the first
line of the system turn (`Reasoning Mode`), which the pseudo-tool `{"type": "reasoning"}` switches on.
"""

from dataclasses import replace

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.tagged import TaggedCall
from chat_templates.render import ArgumentsAs

V31 = Family(
    id="functionary-v3.1",
    title="Functionary v3.1",
    template=template_source(__package__),
    output=OutputFormat(
        call=TaggedCall("<function=", ">", "</function>"),
        code_marker="<|python_tag|>",
        stop=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
        passes_unknown_names=True,
        keeps_cut_calls=True,
    ),
    arguments_as=ArgumentsAs.STRING,
    markers=(
        'set has_code_interpreter = tools | selectattr("type", "equalto", "code_interpreter") | list | length > 0',
        "<|start_header_id|>",
    ),
    absent=("Reasoning Mode",),
    bos_token="<|begin_of_text|>",  # noqa: S106  a token of the vocabulary
    eos_token="<|eot_id|>",  # noqa: S106
    special_tokens=frozenset({"<|python_tag|>"}),
    variables={"has_reasoning_mode": False},
    pseudo_tools=frozenset({"code_interpreter"}),
    example_model="meetkai/functionary-small-v3.1-GGUF",
    needs_description=True,
    evidence="ST",
)

V4R = replace(
    V31,
    id="functionary-v4r",
    title="Functionary v4r",
    markers=("Reasoning Mode: Off",),
    absent=(),
    variables={"has_reasoning_mode": True},
    pseudo_tools=frozenset({"code_interpreter", "reasoning"}),
    example_model="meetkai/functionary-v4r-small-preview (GGUF)",
    evidence="S",
)
