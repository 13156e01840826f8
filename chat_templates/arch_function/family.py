"""Arch-Function (1.5B, 3B, 7B) as data.

Sources: the model card's script and Katanemo's gateway (`model_server/src/core/function_calling.py`, December 2024);
the framing of turns is Qwen2.5's. The gateway keeps only the first call of a past turn; here every call stays.
"""

from dataclasses import replace

from chat_templates.family import Family, template_source
from chat_templates.formats import HERMES
from chat_templates.readers.python_scanner import PythonScanner
from chat_templates.render import ArgumentsAs

ARCH_FUNCTION = Family(
    id="arch-function",
    title="Katanemo Arch-Function",
    template=template_source(__package__),
    output=replace(HERMES, scanner=PythonScanner),
    arguments_as=ArgumentsAs.OBJECT,
    names=("arch-function",),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<tool_call>", "</tool_call>"}),
    example_model="katanemo/Arch-Function-3B.gguf",
    evidence="SD",
)
