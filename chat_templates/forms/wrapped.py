r"""A JSON object with name and arguments between two markers: `<tool_call>\n{…}\n</tool_call>`.

Source: the Hermes function-calling format as in the templates of Hermes-2-Pro and Qwen2.5, and vLLM's parser tests.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat_templates.forms.form import MarkedForm
from chat_templates.readers.function_tag import FUNCTION, is_cut_tag, read_function
from chat_templates.readers.json_calls import object_head, read_calls, read_end_tag
from chat_templates.readers.state import ParserState
from chat_templates.readers.tape import Reading, follows

SLIPS = "}]\"'"


@dataclass(frozen=True, slots=True)
class WrappedCall(MarkedForm):
    """Calls between two markers. `padding` stands between a marker and the object in the training text."""

    start: str
    end: str
    padding: str = "\n"
    separator: str = "\n"

    @property
    def markers(self) -> tuple[str, ...]:
        """See `CallForm.markers`."""
        return (self.start, self.end)

    def around(self, name: str) -> tuple[str, str]:
        """See `CallForm.around`."""
        return f"{self.start}{self.padding}{object_head(name)}", f"}}{self.padding}{self.end}"

    def read(self, state: ParserState, opening: str) -> Reading[None]:
        """One object, several, an array of them, or a tag with the name; then the end marker.

        Braces around an object, and brackets or quotes behind it that nothing opened, are a slip of the model's.
        """
        space, c = yield from state.tape.next_solid()
        if c is None and state.tape.was_cut:
            return
        opening += space
        if c == "<" and (yield from follows(state.tape, FUNCTION[1:])):
            state.tape.give_back(c)
            is_call = yield from read_function(state, opening)
        elif c is None or c not in "{[":
            state.tape.give_back(c)
            if not (c == "<" and (yield from is_cut_tag(state))):
                state.answer.content(opening)
            return
        else:
            while c == "{" and (yield from follows(state.tape, "{")):
                opening += c
                c = yield from state.tape.next()
            state.tape.give_back(c)
            is_call = yield from read_calls(state, opening, end=self.end)
        if is_call:
            yield from read_end_tag(state, self.end, slips=SLIPS)
