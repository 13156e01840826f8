"""The output formats as data: all that a family's model may write.

Read by the parser (text → events) and by the grammar builder (tools → grammar). Knows no tool and no token.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from chat_templates.forms.form import CallForm
from chat_templates.forms.wrapped import WrappedCall
from chat_templates.readers.json_scanner import JsonScanner
from chat_templates.readers.python_scanner import Scanner

_MARKER = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")  # within a text that has words beside it


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """All that a family's output may contain.

    `code_marker` makes everything after it a call of `python` with raw code as arguments; `code_name` is the name under
    which calls in the family's own form carry raw code. `reasoning` is the pair of markers around text that the model
    writes for itself. `stop` lists end-of-turn texts that are never content.
    `passes_unknown_names`: a native call of a tool that was not offered is still a call (the client decides), not
    content. `keeps_cut_calls`: a call that was begun stays a partial call when the text ends in it; otherwise only a
    limit does that, and a call that the model broke off is content again.
    `scanner` reads the objects of calls: `PythonScanner` where models print Python literals for JSON, and brackets that
    are missing before an end tag are completed.
    """

    call: CallForm
    code_marker: str | None = None
    code_name: str | None = None
    reasoning: tuple[str, str] | None = None
    stop: tuple[str, ...] = ()
    passes_unknown_names: bool = False
    keeps_cut_calls: bool = False
    scanner: Callable[[], Scanner] = JsonScanner

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that may be single tokens of the vocabulary and must then enter a grammar as such."""
        code = (self.code_marker,) if self.code_marker else ()
        thoughts = (marker for text in self.reasoning or () for marker in _MARKER.findall(text))
        return tuple(dict.fromkeys((*self.call.markers, *code, *thoughts)))


HERMES = OutputFormat(
    call=WrappedCall("<tool_call>", "</tool_call>"),
    reasoning=("<think>", "</think>"),
    stop=("<|im_end|>", "<|endoftext|>"),
)
"""What Hermes began and most ChatML models write: JSON between `<tool_call>` tags, thoughts between `<think>` tags."""
