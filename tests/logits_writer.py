"""Writes llama.cpp's file of a reference's log-probabilities, as `llama-perplexity --kl-divergence-base` does."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from quantizer.measures.text.log_probabilities import peak_and_log_sum

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from quantizer.calibration.chunks import Chunks

STEPS, DEPTH = np.float32(65535), np.float32(16)
SCALES = 4  # two float32 before each row, counted in 16-bit words


def write_logits(path: Path, chunks: Chunks, n_vocab: int, logits: Iterable[NDArray[np.float32]]) -> None:
    """One array of `logits` for each chunk: its scored rows, `[n_scored, n_vocab]`."""
    with path.open("wb") as file:
        file.write(struct.pack("<8siii", b"_logits_", chunks.n_ctx, n_vocab, chunks.n_chunk))
        file.write(chunks.tokens.astype("<i4").tobytes())
        for rows in logits:
            file.write(encoded(rows))


def encoded(logits: NDArray[np.float32]) -> bytes:
    peak, log_sum = peak_and_log_sum(logits)
    least = np.maximum(logits.min(axis=1), peak - DEPTH)
    scale = (peak - least) / STEPS
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    out = np.zeros((len(logits), 2 * ((logits.shape[1] + 1) // 2) + SCALES), dtype="<u2")
    out[:, :SCALES].view("<f4")[:] = np.stack([scale, least - peak - log_sum.astype(np.float32)], axis=1)
    steps = np.maximum(np.rint((logits - least[:, None]) * inverse[:, None]), 0)
    out[:, SCALES : SCALES + logits.shape[1]] = steps
    return out.tobytes()
