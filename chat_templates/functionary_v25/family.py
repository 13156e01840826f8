"""Functionary v2.5 as data. Source: MeetKai/functionary, prompt template `v2.llama3`."""

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.recipient import RecipientCall
from chat_templates.render import ArgumentsAs
from chat_templates.typescript import typescript_namespace

_CALL = "<|reserved_special_token_249|>"

V25 = Family(
    id="functionary-v2.5",
    title="Functionary v2.5",
    template=template_source(__package__),
    output=OutputFormat(
        call=RecipientCall(start=_CALL, name_end="\n", separator="", tokens=(_CALL,)),
        code_name="python",
        stop=("<|eot_id|>", "<|end_of_text|>"),
        passes_unknown_names=True,
        keeps_cut_calls=True,
    ),
    arguments_as=ArgumentsAs.STRING,
    markers=(_CALL,),
    bos_token="<|begin_of_text|>",  # noqa: S106  a token of the vocabulary
    eos_token="<|eot_id|>",  # noqa: S106
    special_tokens=frozenset({_CALL}),
    variables={"typescript_namespace": typescript_namespace},
    pseudo_tools=frozenset({"code_interpreter"}),
    example_model="meetkai/functionary-small-v2.5-GGUF",
    evidence="ST",
)
