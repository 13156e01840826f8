"""llama.cpp's file of a reference's log-probabilities, read: `llama-perplexity --kl-divergence-base` writes it.

Knows its layout: 16 bits for each token, for the 16 nats below the likeliest; that rounding, 2.4e-4 nats a
step, is a floor under what can be measured with it. No length is allocated before it is checked.
Source: `tools/perplexity/perplexity.cpp` (log_softmax with uint16_t, kl_divergence).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from quantizer.calibration.chunks import Chunks
from quantizer.errors import FileFormatError
from quantizer.measures.text.divergence import MIN_LOG_PROBABILITY, Predictions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_MAGIC = b"_logits_"
_HEAD = struct.Struct("<8siii")
_STEPS = np.float32(65535)
_DEPTH = np.float32(-MIN_LOG_PROBABILITY)
_SCALES = 4  # two float32 before each row, counted in 16-bit words


@dataclass(frozen=True, slots=True)
class LogitsFile:
    """A reference in llama.cpp's form."""

    path: Path
    chunks: Chunks
    n_vocab: int

    @classmethod
    def open(cls, path: Path, *, bos: int | None) -> Self:
        """Read the head. `bos` is the token that the model wants at the start of every text, None if it wants none.

        Raises `FileFormatError` if the file is missing, is something else, or is shorter than its head says.
        """
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD.size)
                if len(head) < _HEAD.size or head[:8] != _MAGIC:
                    raise FileFormatError(f"{path} does not begin with {_MAGIC.decode()}: it is no file of logits")
                _, n_ctx, n_vocab, n_chunk = _HEAD.unpack(head)
                if min(n_vocab, n_chunk) < 1 or n_ctx < 4:
                    raise FileFormatError(f"{path} claims {n_chunk} chunks of {n_ctx} tokens out of {n_vocab}")
                expected = (
                    _HEAD.size + 4 * n_ctx * n_chunk + n_chunk * (n_ctx - 1 - n_ctx // 2) * _row_words(n_vocab) * 2
                )
                if (size := os.fstat(file.fileno()).st_size) < expected:
                    raise FileFormatError(f"{path} has {size} bytes of the {expected} that its head announces")
                tokens = np.frombuffer(file.read(4 * n_ctx * n_chunk), dtype="<i4").reshape(n_chunk, n_ctx)
        except OSError as error:
            raise FileFormatError(f"cannot read the logits {path}: {error.strerror or error}") from error
        if tokens.min() < 0 or tokens.max() >= n_vocab:
            raise FileFormatError(f"{path} holds tokens outside 0 … {n_vocab - 1}")
        return cls(path, Chunks(tokens, bos), n_vocab)

    def read(self) -> Iterator[_LogitsChunk]:
        """Chunk after chunk."""
        words = _row_words(self.n_vocab)
        with self.path.open("rb") as file:
            file.seek(_HEAD.size + self.chunks.tokens.nbytes)
            for i in range(self.chunks.n_chunk):
                data = np.fromfile(file, dtype="<u2", count=self.chunks.n_scored * words)
                if len(data) < self.chunks.n_scored * words:
                    raise FileFormatError(f"{self.path} ends in chunk {i}: it was cut after it was opened")
                yield _LogitsChunk(data.reshape(-1, words), self.n_vocab, self.chunks.targets(i))


@dataclass(frozen=True, slots=True)
class _LogitsChunk:
    data: NDArray[np.uint16]
    n_vocab: int
    targets: NDArray[np.int32]

    def rows(self, rows: slice) -> Predictions:
        data = self.data[rows]
        scale, least = np.ascontiguousarray(data[:, :_SCALES]).view("<f4").T
        steps = data[:, _SCALES : _SCALES + self.n_vocab]
        log_p = steps * scale[:, None] + least[:, None]
        mask = log_p > MIN_LOG_PROBABILITY
        nll = -log_p[np.arange(len(data)), self.targets[rows]]
        return Predictions(nll, log_p.argmax(axis=1).astype(np.int32), mask, log_p[mask])


def _row_words(n_vocab: int) -> int:
    return 2 * ((n_vocab + 1) // 2) + _SCALES
