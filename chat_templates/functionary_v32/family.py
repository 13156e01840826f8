"""Functionary v3.2 as data; medium-v3.0 shares its template.

Source: MeetKai/functionary, prompt template `v3.llama3`. The prompt ends with `>>>`: an answer begins with a recipient.
"""

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.recipient import RecipientCall
from chat_templates.render import ArgumentsAs
from chat_templates.typescript import typescript_namespace

V32 = Family(
    id="functionary-v3.2",
    title="Functionary v3.2",
    template=template_source(__package__),
    output=OutputFormat(
        call=RecipientCall(start="", name_end="\n", separator=">>>", text_recipient="all"),
        code_name="python",
        stop=("<|eot_id|>", "<|end_of_text|>"),
        keeps_cut_calls=True,
    ),
    arguments_as=ArgumentsAs.STRING,
    markers=(">>>all", ">>>${recipient}"),
    bos_token="<|begin_of_text|>",  # noqa: S106  a token of the vocabulary
    eos_token="<|eot_id|>",  # noqa: S106
    variables={"typescript_namespace": typescript_namespace},
    pseudo_tools=frozenset({"code_interpreter"}),
    example_model="meetkai/functionary-small-v3.2-GGUF",
    evidence="ST",
)
