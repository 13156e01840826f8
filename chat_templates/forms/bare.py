"""A JSON object with name and arguments and nothing around it: `{"name": …, "arguments": {…}}`.

Its openings are the parser's own near misses, so there is nothing to read here.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat_templates.forms.form import CallForm
from chat_templates.json_calls import object_head, read_calls
from chat_templates.tape import CALL_KEYS, ParserState, Reading


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

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """The objects that `opening` begins."""
        state.tape.give_back(opening)
        yield from read_calls(state, "")
