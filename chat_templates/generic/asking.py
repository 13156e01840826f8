"""How a model that was trained to no form of calls is told of its tools, and how its past calls are printed.

Knows functions, calls and their texts; no turn and no template. The law: past calls are printed as the instruction
asks for them, so that the output format that goes with it reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat_templates.forms.python_call import python_call
from chat_templates.render import function_tools
from chat_templates.tools import PreparedTools, to_json

_INTRODUCTION = "You can call functions to answer the user. These are the functions, one a line, as JSON:"
_RULES = "Use only the functions above, and take the arguments from what the user says. "
_ELSE = "If no function fits, answer in plain text."


@dataclass(frozen=True, slots=True)
class Asking:
    """One way to ask for calls: `instruction` follows the list of functions, `printed` prints calls of one turn."""

    instruction: str
    printed: Callable[[Sequence[Mapping[str, Any]]], str]

    def describe(self, tools: PreparedTools) -> str:
        """What the system turn says of these tools, made once for the same prepared ones."""
        if self.describe not in tools.results:
            functions = "\n".join(to_json(function) for function in function_tools(tools))
            tools.results[self.describe] = f"{_INTRODUCTION}\n{functions}\n\n{self.instruction}"
        text: str = tools.results[self.describe]
        return text


def _objects(calls: Sequence[Mapping[str, Any]]) -> list[str]:
    return [to_json({"name": call["name"], "arguments": call["arguments"]}) for call in calls]


OBJECT = Asking(
    "To call a function, answer with nothing but a JSON object with the function's name and its arguments:\n"
    '{"name": "function_name", "arguments": {"argument_name": "value"}}\n' + _RULES + _ELSE,
    lambda calls: ", ".join(_objects(calls)),
)
LIST = Asking(
    "To call functions, answer with nothing but a JSON list of calls, each with the function's name and its "
    "arguments:\n"
    '[{"name": "function_name", "arguments": {"argument_name": "value"}}, ...]\n'
    "Make one call for each thing that the user asks for. " + _RULES + _ELSE,
    lambda calls: f"[{', '.join(_objects(calls))}]",
)
TAGGED = Asking(
    "To call functions, answer with a JSON object for each call, between tags:\n"
    '<tool_call>\n{"name": "function_name", "arguments": {"argument_name": "value"}}\n</tool_call>\n'
    "Make one call for each thing that the user asks for. " + _RULES + _ELSE,
    lambda calls: "\n".join(f"<tool_call>\n{each}\n</tool_call>" for each in _objects(calls)),
)
PYTHON = Asking(
    # An example of two calls makes small models answer one question with two.
    "To call a function, answer with nothing but a list with the call in Python's syntax:\n"
    "[function_name(argument_name='value')]\n"
    "Where the user asks for several things, put all the calls into the list, separated by commas. " + _RULES + _ELSE,
    lambda calls: f"[{', '.join(python_call(call['name'], call['arguments']) for call in calls)}]",
)
