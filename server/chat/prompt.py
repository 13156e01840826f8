"""Prompt text becomes tokens, for chat and for plain text alike.

Knows the vocabulary, no message. Laws: the token that starts a text comes once, and only where the model wants it;
where a prompt says that it is plain, no text becomes a marker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Collection

    from chat_templates import Prompt
    from server.chat.stable_prefix import Beginning
    from server.engine.vocabulary import Vocabulary


def tokenize_prompt(
    vocabulary: Vocabulary, prompt: Prompt, beginning: Beginning | None = None, *, param: str
) -> tuple[int, ...]:
    """The tokens of a prompt, the model's own beginning in front unless it is there already.

    Where the prompt begins with the head of `beginning`, only what follows that is tokenized.

    Markers are parsed but for those in `prompt.plain`. Between markers text is tokenized by itself, so that cutting a
    prompt at them changes no token.

    Raises `RequestError` naming `param` if the text cannot be written as UTF-8.
    """
    text, plain = prompt.text, prompt.plain
    if beginning is not None and beginning.head and text.startswith(beginning.head):
        n_head = len(beginning.head)
        if not plain or plain[0][0] >= n_head:
            rest = text[n_head:], tuple((start - n_head, end - n_head) for start, end in plain)
            return beginning.head_tokens + tuple(_tokenize(vocabulary, *rest, param=param))
    begins_plain = bool(plain) and plain[0][0] == 0
    if vocabulary.bos and (begins_plain or not text.startswith(vocabulary.bos)):
        text = vocabulary.bos + text
        plain = tuple((start + len(vocabulary.bos), end + len(vocabulary.bos)) for start, end in plain)
    return tuple(_tokenize(vocabulary, text, plain, param=param))


def _tokenize(vocabulary: Vocabulary, text: str, plain: Collection[tuple[int, int]], *, param: str) -> list[int]:
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
