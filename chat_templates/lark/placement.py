"""Where in an answer a call without a marker may begin, as regular expressions: the parser's law, for grammars.

A line begins there, or a code fence whose language may be that of calls. In the middle of a line and in the code of
other fences calls are told about, not made. Knows Markdown's fences; no form and no name. Law: what these expressions
match is what the parser takes for such a place (`tests/chat_templates/lark/test_placement.py`).

The text up to a place depends on where it begins itself: at the start of an answer, or behind the beginning of what
turned out to be no call, in the middle of a line outside of code (`WORDS`) or in code (`CODE`).
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from chat_templates.readers.answer import MAX_INDENT

_WORDS = "([^`]|`{1,2}[^`])"  # any text without a fence
_FENCED = f"```[^`]{_WORDS}*`{{3,}}"
_FENCED_BY_MORE = "`{4,}[^`]([^`]|`{1,3}[^`])*`{4,}"
_CODE = f"({_FENCED}|{_FENCED_BY_MORE})"
_TEXT = f"({_WORDS}|{_CODE}[^`])*"  # it ends in no backtick: what follows is a whole run of them
_LINE = f"{_TEXT}(`{{0,2}}|{_CODE})"  # to the end of a line
_REST_OF_CODE = f"{_WORDS}*`{{3,}}"
_NEXT_LINE = r"(\n|<\/think>)"
_INDENT = f" {{0,{MAX_INDENT}}}"


class From(Enum):
    """Where a text begins."""

    START = "start"
    WORDS = "words"
    CODE = "code"


_TO_LINE_START = {
    From.START: f"({_LINE}{_NEXT_LINE})?{_INDENT}",
    From.WORDS: f"{_LINE}{_NEXT_LINE}{_INDENT}",
    From.CODE: f"({_REST_OF_CODE}|{_REST_OF_CODE}[^`]{_LINE}){_NEXT_LINE}{_INDENT}",
}
_TO_FENCE = {From.START: _TEXT, From.WORDS: _TEXT, From.CODE: f"{_REST_OF_CODE}[^`]{_TEXT}"}


def to_line_start(start: From) -> str:
    """Any text up to where a line begins outside of code."""
    return _TO_LINE_START[start]


def to_fence(start: From, languages: Collection[str]) -> str:
    """Any text up to the beginning of code in a fence of one of these languages (see `CallForm.languages`)."""
    language = f"({'|'.join(sorted(filter(None, languages)))})" + ("?" if "" in languages else "")
    return f"({_TO_LINE_START[start]}`{{3,}}{language}\\s*|{_TO_FENCE[start]}`{{3,}}{language}[ \\t]*\\n\\s*)"


def to_place(languages: Collection[str]) -> str:
    """The text of an answer up to a place for calls."""
    return f"({to_line_start(From.START)}|{to_fence(From.START, languages)})"
