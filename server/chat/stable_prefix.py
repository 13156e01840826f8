"""Where a prompt stops being the same for every conversation: after the tools and the system messages.

Knows messages, a template and a vocabulary. It asks the template itself: two conversations that differ only in their
first user message share all that comes before it, whatever the family writes there and in which order.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from itertools import takewhile
from threading import Lock
from typing import TYPE_CHECKING, Any

from chat_templates import ChatTemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chat_templates import Markers
    from server.engine.vocabulary import Vocabulary

    Messages = Sequence[Mapping[str, Any]]

REMEMBERED = 64
SYSTEM_ROLES = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class Beginning:
    """The text that every prompt of some kind begins with, and the tokens of its `head`.

    The head ends with the text's last marker, and its tokens begin with the model's own beginning. Text between markers
    is tokenized by itself, so whatever follows the head, its tokens are these. It is empty where the tokenizer turned
    out not to keep to that. `pieces` are the bytes of the vocabulary's tokens.
    """

    text: str = ""
    head: str = ""
    head_tokens: tuple[int, ...] = ()
    n_bytes: int = 0
    n_tail_bytes: int = 0
    pieces: Sequence[bytes] = ()

    def n_tokens(self, tokens: tuple[int, ...]) -> int:
        """How many of a prompt's tokens are within the text."""
        n, left = len(self.head_tokens), self.n_tail_bytes
        if tokens[:n] != self.head_tokens:  # markers of the caller's, which are text there
            n, left = 0, self.n_bytes
        while left > 0 and n < len(tokens) and (left := left - len(self.pieces[tokens[n]])) >= 0:
            n += 1
        return n


class StablePrefix:
    """Finds and remembers the beginnings of (system messages, tools, variables). Callable from any thread."""

    def __init__(self, vocabulary: Vocabulary, markers: Markers) -> None:
        self._vocabulary = vocabulary
        self._markers = markers
        self._known: OrderedDict[str, Beginning] = OrderedDict()
        self._lock = Lock()

    def of(
        self, messages: Messages, tools_key: str, variables: Mapping[str, Any], render: Callable[[Messages], str]
    ) -> Beginning:
        """What every prompt with these system messages and tools begins with; empty if the template has nothing such.

        `tools_key` tells the tools that are shown from others; `render` writes a conversation with them and with these
        variables of the template.
        """
        opening = list(takewhile(lambda message: message.get("role") in SYSTEM_ROLES, messages))
        key = json.dumps([opening, tools_key, dict(variables)], default=str)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        try:
            found = self._beginning(*_probes(opening, render))
        except UnicodeEncodeError:  # half of a surrogate pair: tokenizing the prompt says so
            found = Beginning()
        with self._lock:
            self._known[key] = found
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _beginning(self, one: str, other: str) -> Beginning:
        """What two prompts have in common."""
        n = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
        text = one[:n]
        bos = self._vocabulary.bos
        start = bos if bos and not text.startswith(bos) else ""
        ends = [end for _, end in self._markers.spans(text)]
        head = text[: ends[-1]] if ends else ""
        head_tokens = tuple(self._tokenize(start + head)) if head else ()
        if [*head_tokens, *self._tokenize(one[len(head) :])] != self._tokenize(start + one):
            head, head_tokens = "", ()  # a marker that takes white space with it, for example
        if not text:
            return Beginning()
        n_bytes = len((start + text).encode())
        n_tail_bytes = len(text[len(head) :].encode()) if head else n_bytes
        return Beginning(text, head, head_tokens, n_bytes, n_tail_bytes, self._vocabulary.pieces)

    def _tokenize(self, text: str) -> list[int]:
        return list(self._vocabulary.tokenize(text.encode(), parse_special=True))


def _probes(opening: Messages, render: Callable[[Messages], str]) -> tuple[str, str]:
    try:
        one, other = (render([*opening, {"role": "user", "content": content}]) for content in ("A", "b"))
    except ChatTemplateError:  # a template may refuse what is not the conversation at hand
        return "", ""
    return one, other
