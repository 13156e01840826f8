"""Functionary v2 to v2.4 as data. Source: MeetKai/functionary, prompt template `v2`.

The prompt ends with `<|recipient|>`: an answer begins with a recipient. Its markers are added tokens of SentencePiece
vocabularies, which write a space after each.
"""

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.recipient import RecipientCall
from chat_templates.render import ArgumentsAs
from chat_templates.typescript import typescript_namespace

_TOKENS = ("<|from|>", "<|recipient|>", "<|content|>")

V2 = Family(
    id="functionary-v2",
    title="Functionary v2 to v2.4",
    template=template_source(__package__),
    output=OutputFormat(
        call=RecipientCall(
            start="",
            name_end="\n<|content|>",
            separator="\n<|from|>assistant\n<|recipient|>",
            text_recipient="all",
            tokens=_TOKENS,
            padding=" ",
        ),
        code_name="python",
        stop=("<|stop|>",),
        passes_unknown_names=True,
        keeps_cut_calls=True,
    ),
    arguments_as=ArgumentsAs.STRING,
    markers=("<|recipient|>", "<|content|>"),
    bos_token="<s>",  # noqa: S106  a token of the vocabulary
    eos_token="<|stop|>",  # noqa: S106
    special_tokens=frozenset(_TOKENS),
    variables={"typescript_namespace": typescript_namespace},
    pseudo_tools=frozenset({"code_interpreter"}),
    example_model="meetkai/functionary-small-v2.4-GGUF",
    evidence="ST",
)
