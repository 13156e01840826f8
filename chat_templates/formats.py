"""The output formats as data: what a family's model writes when it calls.

Read by the parser (text → events) and by the grammar builder (tools → grammar), so that what is forced is what
is understood. Knows no tool and no token. Sources of each format are named where a family uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

CALL_KEYS = ("arguments", "parameters")


@dataclass(frozen=True, slots=True)
class TaggedCall:
    """The name in the opening tag, the arguments as its body: `<function=NAME>{…}</function>`."""

    start: str
    name_end: str
    end: str
    separator: str = ""


@dataclass(frozen=True, slots=True)
class WrappedCall:
    r"""A JSON object with name and arguments between two markers: `<tool_call>\n{…}\n</tool_call>`.

    `padding` stands between a marker and the object in the training text.
    """

    start: str
    end: str
    padding: str = "\n"
    separator: str = "\n"


@dataclass(frozen=True, slots=True)
class BareCall:
    """A JSON object with name and arguments and nothing around it."""

    separator: str = "\n"


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """All that a family's output may contain.

    `code_marker` makes everything after it a call of `python` with raw code as arguments. `reasoning` is the pair
    of markers around text that the model writes for itself. `stop` lists end-of-turn texts that are never content.
    `passes_unknown_names`: a native call of a tool that was not offered is still a call (the client decides), not
    content. `keeps_cut_calls`: a call whose text ends early stays a partial call; otherwise it is content again
    unless the text was cut by a limit.
    """

    call: TaggedCall | WrappedCall | BareCall
    code_marker: str | None = None
    reasoning: tuple[str, str] | None = None
    stop: tuple[str, ...] = ()
    passes_unknown_names: bool = False
    keeps_cut_calls: bool = False

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that may be single tokens of the vocabulary and must then enter a grammar as such."""
        match self.call:
            case TaggedCall() | BareCall():
                call_markers: tuple[str, ...] = ()
            case WrappedCall(start, end):
                call_markers = (start, end)
        code = (self.code_marker,) if self.code_marker else ()
        return call_markers + code
