r"""A tag with the name and one for each argument, in two spellings.

`<function=NAME>\n<parameter=KEY>\nVALUE\n</parameter>\n</function>` between markers of their own, and
`<function name="NAME"><param name="KEY">VALUE</param></function>`. Sources: the chat templates of Qwen3-Coder and
Qwen3.5, and of MiniCPM5. What stands in a parameter is text: `read_function` makes JSON of it by the tool's schema.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat_templates.forms.form import Function, MarkedForm
from chat_templates.forms.wrapped import WrappedCall
from chat_templates.lark.parameter_tags import parameter_tags
from chat_templates.lark.rules import LarkGrammar
from chat_templates.readers.function_tag import ATTRIBUTES, END, EQUALS, FUNCTION, read_tag
from chat_templates.readers.state import OfferedNames, ParserState
from chat_templates.readers.tape import Reading
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
        return grammar.once("tags " + function["name"], lambda: parameter_tags(schema, grammar, EQUALS))


@dataclass(frozen=True, slots=True)
class AttributeTagsCall(MarkedForm):
    """Calls whose tags have the names as attributes. The other spelling is read as well."""

    start: str = f'{FUNCTION} name="'
    separator: str = "\n"

    def openings(self, offered: OfferedNames) -> tuple[str, ...]:
        """See `CallForm.openings`: the tag in its spellings."""
        names = (self.start, f"{FUNCTION} name='", f"{FUNCTION}=", f"{FUNCTION}>")
        return () if offered.names == frozenset() else names

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`."""
        return f'{self.start}{name}">', END

    def arguments(self, grammar: LarkGrammar, function: Function) -> str:
        """See `CallForm.arguments`."""
        schema = arguments_schema(function.get("parameters"))
        return grammar.once("tags " + function["name"], lambda: parameter_tags(schema, grammar, ATTRIBUTES))

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """See `CallForm.read`."""
        yield from read_tag(state, opening)
