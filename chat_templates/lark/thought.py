"""The thought before an answer, as grammar rules: one that may begin, or the rest of one that the prompt began.

Knows markers and bounds. Law: a bounded thought ends at its bound with the marker that ends it. Where that is a token
of the vocabulary, tokens are counted; llguidance cannot count them where it looks for a text as well (1.9 fails).
"""

from __future__ import annotations

from chat_templates.lark.rules import LarkGrammar, lark_regex, quoted
from chat_templates.thought import Thought

_CHARACTERS = 4  # of a token, where the end of a thought is text and only text can be counted
_BEHIND = r"/\n{0,2}/"


def write_thought(grammar: LarkGrammar, markers: tuple[str, str] | None, thought: Thought) -> str:
    """The rule of what precedes the answer, "" if nothing may.

    Free text never contains special tokens, so without this a model that marks its thoughts with tokens could not think
    under any grammar.
    """
    if markers is None or not is_marked(grammar, markers, thought):
        return ""
    begin, end = markers
    if thought.is_open:
        return grammar.rule("thought", f"({_up_to(grammar, end, thought.max_tokens)}) {_BEHIND}")
    if not thought.may_begin or thought.max_tokens == 0:
        return ""
    bound = thought.max_tokens
    inside = "TEXT" if bound is None else _bounded(grammar, end, bound)
    return grammar.rule("thought", f"({grammar.literal(begin)} {inside} {grammar.literal(end)} {_BEHIND})?")


def is_marked(grammar: LarkGrammar, markers: tuple[str, str] | None, thought: Thought) -> bool:
    """Whether the model's vocabulary shows where a thought begins and ends, or its prompt and a text do."""
    if markers is None:
        return False
    return thought.is_open or all(any(token in marker for token in grammar.special_tokens) for marker in markers)


def _up_to(grammar: LarkGrammar, end: str, max_tokens: int | None) -> str:
    """Bodies of the rest of a thought and its end."""
    if max_tokens is None:
        return " | ".join(grammar.text_up_to(end))
    if max_tokens == 0:
        return grammar.literal(end)
    if grammar.literal(end) == quoted(end):
        n = _CHARACTERS * max_tokens
        return grammar.numbered(rf"/(.|\n){{0,{n}}}{lark_regex(end)}/", options="[lazy]")
    return f"{_bounded(grammar, end, max_tokens)} {grammar.literal(end)}"


def _bounded(grammar: LarkGrammar, end: str, max_tokens: int) -> str:
    """The rule of a bounded text without `end`: spelled out in text tokens it would end the thought for its reader."""
    text = grammar.numbered("INSIDE", options=f"[max_tokens={max_tokens}]")
    grammar.rule("INSIDE", rf"/(.|\n)*/ & ~/(.|\n)*{lark_regex(end)}(.|\n)*/")
    return text
