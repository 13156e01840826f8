"""A JSON object with name and arguments and nothing around it: `{"name": …, "arguments": {…}}`.

Its openings are the parser's own near misses, so there is nothing to read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat_templates.forms.form import CallForm, Function
from chat_templates.readers.json_calls import object_head, read_calls
from chat_templates.readers.state import CALL_KEYS, ParserState
from chat_templates.readers.tape import Reading
from chat_templates.schema.parameters import call_or_content_schema


@dataclass(frozen=True, slots=True)
class BareCall(CallForm):
    """Calls as bare objects. `arguments_key` is the one that the family's training text has."""

    separator: str = "\n"
    arguments_key: str = CALL_KEYS[0]

    @property
    def is_unmarked(self) -> bool:
        """See `CallForm.is_unmarked`."""
        return True

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`."""
        return object_head(name, self.arguments_key), "}"

    def answer_schema(
        self,
        functions: Sequence[Function],
        content: Mapping[str, Any],
        *,
        parallel: bool,
    ) -> Mapping[str, Any]:
        """See `CallForm.answer_schema`: one bare object."""
        del parallel
        return call_or_content_schema(functions, self.arguments_key, content)

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """The objects that `opening` begins."""
        state.tape.give_back(opening)
        yield from read_calls(state, "")
