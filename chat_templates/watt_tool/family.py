"""watt-tool 8B and 70B as data.

Sources: the prompt of the model card, with the functions as Python prints them; turns as in BFCL's handler for Llama,
under which the models were measured. How past calls look is inferred from the form that the prompt asks for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.python_call import PythonCall, python_call
from chat_templates.render import ArgumentsAs, function_tools
from chat_templates.tools import remembered


@remembered
def printed(tools: Sequence[Mapping[str, Any]]) -> str:
    """The bare functions as Python prints a list of them."""
    return str(function_tools(tools))


def called(function: Mapping[str, Any]) -> str:
    """A past call as Python source."""
    return python_call(function["name"], function["arguments"])


WATT_TOOL = Family(
    id="watt-tool",
    title="watt-tool",
    template=template_source(__package__),
    output=OutputFormat(call=PythonCall(), stop=("<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"), keeps_cut_calls=True),
    arguments_as=ArgumentsAs.OBJECT,
    names=("watt-tool",),
    bos_token="<|begin_of_text|>",  # noqa: S106  a token of the vocabulary
    eos_token="<|eot_id|>",  # noqa: S106
    variables={"printed": printed, "called": called},
    example_model="watt-ai/watt-tool-8B",
    evidence="D",
)
