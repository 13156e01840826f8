"""A vocabulary of the 256 bytes and a few markers: tokenizing is reading bytes, and needs no model."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARKERS = (
    *("<|endoftext|>", "<|eom_id|>", "<tool_call>", "</tool_call>", "<|im_start|>", "<|im_end|>"),
    *("<think>", "</think>", "<|python_tag|>"),
)


class ByteVocabulary:
    """Token i below 256 is byte i; the markers follow. `<|endoftext|>` and `<|eom_id|>` end a generation."""

    def __init__(self, more_markers: Sequence[str] = ()) -> None:
        markers = (*MARKERS, *(marker for marker in more_markers if marker not in MARKERS))
        self._special = {text: 256 + i for i, text in enumerate(markers)}
        self._pieces = tuple(bytes([i]) for i in range(256)) + tuple(text.encode() for text in markers)
        self._split = re.compile(b"(" + b"|".join(re.escape(text.encode()) for text in markers) + b")")

    @property
    def pieces(self) -> Sequence[bytes]:
        return self._pieces

    @property
    def special(self) -> Mapping[str, int]:
        return MappingProxyType(self._special)

    @property
    def eog(self) -> frozenset[int]:
        return frozenset({256, 257})

    @property
    def eos(self) -> int:
        return 256

    @property
    def bos(self) -> str | None:
        return None

    @property
    def infill(self) -> tuple[int, int, int | None] | None:
        return None

    def tokenize(self, text: bytes, *, parse_special: bool) -> list[int]:
        if not parse_special:
            return list(text)
        tokens: list[int] = []
        for part in self._split.split(text):
            marker = self._special.get(part.decode("utf-8", "replace"))
            tokens.extend(list(part) if marker is None else [marker])
        return tokens
