r"""A tag with the name and one for each argument: `<function=NAME>\n<parameter=KEY>\nVALUE\n</parameter>\n</function>`.

Sources: the chat templates of Qwen3-Coder and Qwen3.5. What stands in a parameter is text: `read_function` makes JSON
of it by the tool's schema.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat_templates.forms.form import Function
from chat_templates.forms.wrapped import WrappedCall
from chat_templates.lark.parameter_tags import parameter_tags
from chat_templates.lark.rules import LarkGrammar
from chat_templates.schema.parameters import arguments_schema


@dataclass(frozen=True, slots=True)
class ParameterTagsCall(WrappedCall):
    """Calls between two markers. Read as `WrappedCall`, which takes objects and tags; written as tags."""

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`."""
        return f"{self.start}\n<function={name}>\n", f"</function>\n{self.end}"

    def arguments(self, grammar: LarkGrammar, function: Function) -> str:
        """See `CallForm.arguments`."""
        schema = arguments_schema(function.get("parameters"))
        return grammar.once("tags " + function["name"], lambda: parameter_tags(schema, grammar))
