"""How an answer may think: what its prompt has said of it, and for how many tokens.

Knows no text and no marker. `Family.thought` says it of a prompt; parsers, grammars and decisions read it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thought:
    """One answer's thought.

    `is_open`: the prompt ends inside of it. `may_begin`: the answer may begin with one. `max_tokens` bounds it; it ends
    there, whatever it says. None is no bound; 0 is no thought, or the end of an open one.
    """

    is_open: bool = False
    may_begin: bool = True
    max_tokens: int | None = None


UNBOUNDED = Thought()
"""The thought of an answer of which nothing was said: it may begin with one, and end it when it likes."""
