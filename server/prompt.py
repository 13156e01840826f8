"""Prompt text becomes tokens, for chat and for plain text alike.

Knows the vocabulary, no message. The law: the token that starts a text comes once, and only where the model wants it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.errors import RequestError

if TYPE_CHECKING:
    from server.engine.types import Vocabulary


def tokenize_prompt(vocabulary: Vocabulary, prompt: str, *, param: str) -> list[int]:
    """The tokens of a prompt, markers in it parsed, the model's own beginning in front unless it is there already.

    Raises `RequestError` naming `param` if the text cannot be written as UTF-8.
    """
    if vocabulary.bos and not prompt.startswith(vocabulary.bos):
        prompt = vocabulary.bos + prompt
    try:
        text = prompt.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"Invalid {param}: it contains half of a surrogate pair.", param=param) from error
    return vocabulary.tokenize(text, parse_special=True)
