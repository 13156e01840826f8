"""A model's vocabulary: every piece as bytes in a table built once, and the model's own tokenizer.

Satisfies `server.engine.vocabulary.Vocabulary` in form without importing it. Thread-safe: requests are tokenized
on other threads than the one that decodes, so a call and the model's closing exclude each other by a lock.
"""

from __future__ import annotations

import ctypes
import re
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from server.llama.errors import LlamaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from server.llama.library import Library

# A byte that no vocabulary merges with its neighbours: it keeps a tokenizer that writes a space in front of
# every text from writing it in front of ours.
_SENTINEL = b"\x02"


class Vocabulary:
    """The tokens of one model. Valid until the model is closed; the tables stay readable after that."""

    def __init__(self, library: Library, handle: Any) -> None:
        self._c = library.c
        self._handle: Any = handle
        self._lock = Lock()
        c = self._c
        n_vocab = int(c.llama_vocab_n_tokens(handle))
        self._pieces = tuple(self._piece_table(n_vocab))
        self._eog = frozenset(i for i in range(n_vocab) if c.llama_vocab_is_eog(handle, i))
        self._special = MappingProxyType(self._special_tokens(n_vocab))
        # llama.cpp finds user-defined markers in any text, also when asked not to parse special tokens.
        user_defined = [
            re.escape(text.encode())
            for text, token in self._special.items()
            if c.llama_vocab_get_attr(handle, token) & c.LLAMA_TOKEN_ATTR_USER_DEFINED
        ]
        self._marker = re.compile(b"|".join(user_defined) or b"(?!)")
        self._eos = self._end_of_text()
        bos = int(c.llama_vocab_bos(handle))
        wants_bos = bool(c.llama_vocab_get_add_bos(handle)) and bos >= 0
        self._bos_token = bos if wants_bos else None
        self._bos = self._pieces[bos].decode("utf-8", "replace") if wants_bos else None
        prefix, suffix, middle = (
            int(of(handle)) for of in (c.llama_vocab_fim_pre, c.llama_vocab_fim_suf, c.llama_vocab_fim_mid)
        )
        has_infill = prefix >= 0 and suffix >= 0
        self._infill = (prefix, suffix, middle if middle >= 0 else None) if has_infill else None
        self._prefix: tuple[int, ...] = ()
        probe = self._tokenize(b"x", parse_special=False)
        if b"".join(self._pieces[i] for i in probe) != b"x":
            self._prefix = tuple(self._tokenize(_SENTINEL, parse_special=False))

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes of each token id, markers and control tokens visible."""
        return self._pieces

    @property
    def special(self) -> Mapping[str, int]:
        """Ids of control tokens and of user-defined markers such as `<tool_call>` or `[INST]`, by their text."""
        return self._special

    @property
    def eog(self) -> frozenset[int]:
        """The ids that end a generation."""
        return self._eog

    @property
    def eos(self) -> int:
        """The id written to end a text."""
        return self._eos

    @property
    def bos(self) -> str | None:
        """The text of the token that starts every prompt, or None if the model wants none."""
        return self._bos

    @property
    def bos_token(self) -> int | None:
        """The id of the token that starts every text, or None if the model wants none."""
        return self._bos_token

    @property
    def infill(self) -> tuple[int, int, int | None] | None:
        """The ids before a text, before what follows it, and before its middle, which comes last; None without them.

        Without a third one what follows comes first, and the text last.
        """
        return self._infill

    def tokenize(self, text: bytes, *, parse_special: bool) -> list[int]:
        """Token ids of UTF-8 text, nothing added. With `parse_special` marker texts become their tokens.

        Raises `LlamaError` if the text is not UTF-8 or the model is closed.
        """
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise LlamaError(f"only UTF-8 text can be tokenized: {error}") from error
        if parse_special:
            return self._tokenize_alone(text, parse_special=True)
        tokens, start = [], 0
        for marker in self._marker.finditer(text):
            tokens += self._tokenize_alone(text[start : marker.start() + 1], parse_special=False)
            start = marker.start() + 1
        return tokens + self._tokenize_alone(text[start:], parse_special=False)

    def tokenize_document(self, text: bytes, *, parse_special: bool) -> list[int]:
        """Token ids of a whole UTF-8 text as the vocabulary writes one, its own beginning (BOS, space) included.

        Raises `LlamaError` if the text is not UTF-8 or the model is closed.
        """
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise LlamaError(f"only UTF-8 text can be tokenized: {error}") from error
        return self._tokenize(text, parse_special=parse_special, add_special=True)

    def end_on(self, texts: Iterable[str]) -> None:
        """Let those of these texts that are special tokens end a generation too.

        llama.cpp knows the end tokens of most formats by their text, but not all, and a GGUF may not name its own.
        Called before an engine is built: it and its grammars read `eog` once.
        """
        self._eog |= {self._special[text] for text in texts if text in self._special}

    def close(self) -> None:
        """Refuse to tokenize from now on. Called by the model before it is freed."""
        with self._lock:
            self._handle = None

    def _tokenize_alone(self, text: bytes, *, parse_special: bool) -> list[int]:
        """Tokenize without the space that some vocabularies write in front of every text."""
        if not text or not self._prefix:
            return self._tokenize(text, parse_special=parse_special)
        tokens = self._tokenize(_SENTINEL + text, parse_special=parse_special)
        n_prefix = len(self._prefix)
        if tuple(tokens[:n_prefix]) != self._prefix:
            return self._tokenize(text, parse_special=parse_special)
        return tokens[n_prefix:]

    def _tokenize(self, text: bytes, *, parse_special: bool, add_special: bool = False) -> list[int]:
        capacity = len(text) + 2
        with self._lock:
            if self._handle is None:
                raise LlamaError("the model is closed: its vocabulary can no longer tokenize")
            while True:
                buffer = (ctypes.c_int32 * capacity)()
                n = self._c.llama_tokenize(self._handle, text, len(text), buffer, capacity, add_special, parse_special)
                if n >= 0:
                    return buffer[:n]
                if -n <= capacity:
                    raise LlamaError(f"llama.cpp cannot tokenize a text of {len(text)} bytes")
                capacity = -n

    def _piece_table(self, n_vocab: int) -> list[bytes]:
        convert, handle = self._c.llama_token_to_piece, self._handle
        size = 256
        buffer = ctypes.create_string_buffer(size)
        pieces = []
        for token in range(n_vocab):
            n = convert(handle, token, buffer, size, 0, True)
            if n < 0:
                size = -n
                buffer = ctypes.create_string_buffer(size)
                n = convert(handle, token, buffer, size, 0, True)
            pieces.append(ctypes.string_at(buffer, max(n, 0)))
        return pieces

    def _special_tokens(self, n_vocab: int) -> dict[str, int]:
        c = self._c
        special = {}
        for token in range(n_vocab):
            attributes = c.llama_vocab_get_attr(self._handle, token)
            if not attributes & (c.LLAMA_TOKEN_ATTR_CONTROL | c.LLAMA_TOKEN_ATTR_USER_DEFINED):
                continue
            piece = self._pieces[token]
            is_marker = (piece[:1], piece[-1:]) in {(b"<", b">"), (b"[", b"]")}
            if piece and (attributes & c.LLAMA_TOKEN_ATTR_CONTROL or is_marker):
                special[piece.decode("utf-8", "replace")] = token
        return special

    def _end_of_text(self) -> int:
        eos = int(self._c.llama_vocab_eos(self._handle))
        if eos in self._eog:
            return eos
        if self._eog:
            return min(self._eog)
        raise LlamaError("the vocabulary has no token that ends a text")
