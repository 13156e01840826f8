"""xLAM-1b-fc-r and xLAM-7b-fc-r as data.

Source: the handler that Salesforce wrote for BFCL (`xlam_handler.py`). The models know a single turn: what a past call
or a result would look like was never trained, so such messages are refused by their field. Their GGUFs' templates say
nothing about tools, so the family goes by the model's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.answer_object import AnswerObject
from chat_templates.readers.python_scanner import PythonScanner
from chat_templates.render import ArgumentsAs, function_tools
from chat_templates.tools import remembered


@remembered
def flattened(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The functions with their properties as `parameters`; a required property says so itself.

    That overwrites the list of required properties of a nested object, as in the training data.
    """
    out = []
    for function in function_tools(tools):
        schema = function.get("parameters") or {}
        required = schema.get("required") or ()
        properties = {
            name: {**part, "required": True} if name in required and isinstance(part, Mapping) else part
            for name, part in (schema.get("properties") or {}).items()
        }
        out.append(
            {"name": function["name"], "description": function.get("description") or "", "parameters": properties}
        )
    return out


XLAM_1_FC = Family(
    id="xlam-1-fc",
    title="xLAM-1 fc",
    template=template_source(__package__),
    output=OutputFormat(
        call=AnswerObject(text_keys=("thought",)),
        stop=("<|EOT|>", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
        scanner=PythonScanner,
    ),
    arguments_as=ArgumentsAs.OBJECT,
    names=("xlam-1b-fc", "xlam-7b-fc"),
    eos_token="<|EOT|>",  # noqa: S106  a token of the vocabulary
    variables={"flattened": flattened, "title": "xLAM-1 fc"},
    example_model="Salesforce/xLAM-7b-fc-r-gguf",
    evidence="S",
)
