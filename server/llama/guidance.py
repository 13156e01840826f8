"""A model's tokens for llguidance, which walks grammars over them.

Knows what llguidance asks of a tokenizer; no grammar. The law: a special token is named `<|…|>` or by its own angle
brackets, and no text that a grammar matches becomes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import llguidance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Tokens that a mask looks at together, where all of them may come next. llguidance's own slices hold the two line ends
# of ECMA-262 that its `.` does not match, so that a mask in such a pattern looked at each token: 1.8 ms, not 0.2.
_PLAIN = r'[^"\\\x00-\x1F\x7F\u{2028}\u{2029}]'
SLICES = [r"[\x20\x0A\x0D\x09]+", _PLAIN + "{1,10}", _PLAIN + "{1,30}", _PLAIN + "+"]


class Tokens(Protocol):
    """The part of a vocabulary that this takes: `server.llama.vocabulary.Vocabulary` has it."""

    @property
    def pieces(self) -> Sequence[bytes]: ...  # noqa: D102  the bytes of each token

    @property
    def special(self) -> Mapping[str, int]: ...  # noqa: D102  control tokens and markers by their text

    @property
    def eog(self) -> frozenset[int]: ...  # noqa: D102  the ids that end a generation

    @property
    def eos(self) -> int: ...  # noqa: D102  the id written to end a text

    def tokenize(self, text: bytes, *, parse_special: bool) -> list[int]: ...  # noqa: D102


def guidance_tokenizer(vocabulary: Tokens) -> Any:
    """An `llguidance.LLTokenizer`. Building it takes one to two seconds for 150,000 tokens."""
    return llguidance.LLTokenizer(_Wrapper(vocabulary), eos_token=sorted(vocabulary.eog), slices=SLICES)


class _Wrapper:
    """The vocabulary in the shape that `llguidance.LLTokenizer` asks for."""

    is_tokenizer_wrapper = True
    bos_token_id: int | None = None

    def __init__(self, vocabulary: Tokens) -> None:
        self._vocabulary = vocabulary
        self.eos_token_id = vocabulary.eos
        self.tokens = list(vocabulary.pieces)
        for text, token in vocabulary.special.items():
            if not (text.startswith("<") and text.endswith(">")):
                self.tokens[token] = b"<|" + self.tokens[token] + b"|>"
        self.special_token_ids = sorted({*vocabulary.special.values(), *vocabulary.eog})

    def __call__(self, text: str) -> list[int]:
        return self._vocabulary.tokenize(text.encode(), parse_special=False)
