"""What the engine needs of a model's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Vocabulary(Protocol):
    """A model's tokens. Implemented by `server.llama.vocabulary.Vocabulary` and by the tests' byte tokenizer."""

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes of each token id, markers and control tokens visible, pieces of any length."""
        ...

    @property
    def special(self) -> Mapping[str, int]:
        """Token ids of the control tokens and user-defined markers by their text, `<tool_call>` for example."""
        ...

    @property
    def eog(self) -> frozenset[int]:
        """The ids that end a generation."""
        ...

    @property
    def eos(self) -> int:
        """The id written to end a text; a member of `eog`."""
        ...

    @property
    def bos(self) -> str | None:
        """The text of the token to put in front of every prompt, or None if the model wants none."""
        ...

    @property
    def infill(self) -> tuple[int, int, int | None] | None:
        """The ids before a text, before what follows it, and before its middle, which comes last; None without them.

        Without a third one what follows comes first, and the text last.
        """
        ...

    def tokenize(self, text: bytes, *, parse_special: bool) -> list[int]:
        """Token ids of UTF-8 text, nothing added. With `parse_special` marker texts become their tokens."""
        ...
