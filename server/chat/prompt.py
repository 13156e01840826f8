"""Prompt text becomes tokens, for chat and for plain text alike.

Knows the vocabulary, no message. Laws: the token that starts a text comes once, and only where the model wants it;
where a prompt says that it is plain, no text becomes a marker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.errors import RequestError

if TYPE_CHECKING:
    from chat_templates import Prompt
    from server.engine.types import Vocabulary


def tokenize_prompt(vocabulary: Vocabulary, prompt: Prompt, *, param: str) -> list[int]:
    """The tokens of a prompt, the model's own beginning in front unless it is there already.

    Markers are parsed but for those in `prompt.plain`. Between markers text is tokenized by itself, so that cutting a
    prompt at them changes no token.

    Raises `RequestError` naming `param` if the text cannot be written as UTF-8.
    """
    text, plain = prompt.text, prompt.plain
    begins_plain = bool(plain) and plain[0][0] == 0
    if vocabulary.bos and (begins_plain or not text.startswith(vocabulary.bos)):
        text = vocabulary.bos + text
        plain = tuple((start + len(vocabulary.bos), end + len(vocabulary.bos)) for start, end in plain)
    tokens: list[int] = []
    at = 0
    try:
        for start, end in plain:
            tokens += vocabulary.tokenize(text[at:start].encode(), parse_special=True)
            tokens += vocabulary.tokenize(text[start:end].encode(), parse_special=False)
            at = end
        return tokens + vocabulary.tokenize(text[at:].encode(), parse_special=True)
    except UnicodeEncodeError as error:
        raise RequestError(f"Invalid {param}: it contains half of a surrogate pair.", param=param) from error
