"""A reference model's predictions, computed once and kept: what every smaller file of it is compared with.

Knows one file form and a folder of such files. The law: a file appears whole under its final name or not at all; its
name is a hash of all that its content depends on; the folder keeps within its bound, oldest use first out.
The form is exact where it counts: float32 log-probabilities of the tokens above e^-16, the likeliest token and the
text's token; the others, which no measure reads, are left out. That is what makes float32 smaller than llama.cpp's 16
bits for every token.

    |magic|u32 head bytes|head: JSON|tokens i32|chunk 0|chunk 1| …
    chunk: |nll f32[n]|top i32[n]|kept u32[n]|mask, ceil(n_vocab / 8) bytes a row|log_p f32[sum of kept]|
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from quantizer.calibration.chunks import Chunks
from quantizer.errors import DataError, FileFormatError
from quantizer.evaluator import Evaluator
from quantizer.measures.text.divergence import MIN_LOG_PROBABILITY, Predictions
from quantizer.measures.text.log_probabilities import RowBlocks, peak_and_log_sum
from quantizer.model.hashing import model_sha256
from server.whole_file import partial_owner, whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from server.llama.model import Model

MAX_BYTES = 16 << 30
_MAGIC = b"FGPRED\x00\x01"  # the last byte is the version of the form
_MAX_HEAD_BYTES = 1 << 12


@dataclass(frozen=True, slots=True)
class StoredReference:
    """An open reference. Satisfies `divergence.Reference`."""

    path: Path
    chunks: Chunks
    n_vocab: int
    _start: int

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the head. Raises `FileFormatError` if the file is missing, damaged or of another form."""
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if file.read(len(_MAGIC)) != _MAGIC:
                    raise FileFormatError(f"{path} is no reference of this version (remove it)")
                n_head = struct.unpack("<I", _taken(file, 4, path))[0]
                if n_head > _MAX_HEAD_BYTES:
                    raise FileFormatError(f"{path} is damaged: a head of {n_head} bytes (remove it)")
                head = json.loads(_taken(file, n_head, path))
                n_chunk, n_ctx, n_vocab = (int(head[key]) for key in ("n_chunk", "n_ctx", "n_vocab"))
                if min(n_chunk, n_vocab) < 1 or n_ctx < 4 or 4 * n_chunk * n_ctx > size:
                    raise FileFormatError(f"{path} is damaged: {n_chunk} chunks of {n_ctx} (remove it)")
                tokens = np.frombuffer(_taken(file, 4 * n_chunk * n_ctx, path), dtype="<i4").reshape(n_chunk, n_ctx)
                return cls(path, Chunks(tokens, head["bos"]), n_vocab, file.tell())
        except OSError as error:
            raise FileFormatError(f"cannot read the reference {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise FileFormatError(f"{path} is damaged: its head cannot be read (remove it)") from error

    def read(self) -> Iterator[_StoredChunk]:
        """Chunk after chunk. Raises `FileFormatError` if the file ends early."""
        n, width = self.chunks.n_scored, -(-self.n_vocab // 8)
        with self.path.open("rb") as file:
            file.seek(self._start)
            for _ in range(self.chunks.n_chunk):
                nll, top, kept = (
                    np.frombuffer(_taken(file, 4 * n, self.path), dtype=form) for form in ("<f4", "<i4", "<u4")
                )
                if kept.max() > self.n_vocab or kept.min() < 1:
                    raise FileFormatError(f"{self.path} is damaged: a row of {kept.max()} predictions (remove it)")
                bits = np.frombuffer(_taken(file, n * width, self.path), dtype=np.uint8).reshape(n, width)
                log_p = np.frombuffer(_taken(file, 4 * int(kept.sum()), self.path), dtype="<f4")
                starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
                yield _StoredChunk(nll, top, starts, bits, log_p, self.n_vocab)


@dataclass(frozen=True, slots=True)
class _StoredChunk:
    nll: NDArray[np.float32]
    top: NDArray[np.int32]
    starts: NDArray[np.int64]
    bits: NDArray[np.uint8]
    log_p: NDArray[np.float32]
    n_vocab: int

    def rows(self, rows: slice) -> Predictions:
        mask = np.unpackbits(self.bits[rows], axis=1, count=self.n_vocab, bitorder="little").view(np.bool_)
        return Predictions(
            self.nll[rows], self.top[rows], mask, self.log_p[self.starts[rows.start] : self.starts[rows.stop]]
        )


class ReferenceStore:
    """References in a folder, `max_bytes` of them at most."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes

    def get(
        self,
        model: Model,
        chunks: Chunks,
        *,
        n_threads: int,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> StoredReference:
        """The reference for these chunks: kept from before, or computed now and kept.

        Raises `DataError` if it would be larger than the folder's bound, `FileFormatError` if it cannot be written.
        """
        path = self.path(reference_key(model, chunks), ".predictions")
        if not self.has(path):
            try:
                write_reference(path, model, chunks, n_threads=n_threads, max_bytes=self._max_bytes, progress=progress)
            except OSError as error:
                raise FileFormatError(f"cannot write the reference {path}: {error.strerror or error}") from error
            self.evict(path)
        return StoredReference.open(path)

    def path(self, key: str, suffix: str) -> Path:
        """Where the file of a key is kept; the folder exists then. Raises `FileFormatError` if it cannot be made."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileFormatError(f"cannot keep references in {self._folder}: {error.strerror or error}") from error
        return self._folder / f"{key}{suffix}"

    def has(self, path: Path) -> bool:
        """Whether a file is kept; asking counts as use."""
        if not path.exists():
            return False
        os.utime(path)
        return True

    def evict(self, newest: Path) -> None:
        """Remove those used longest ago until the rest fits the bound, `newest` stays; and what killed runs left."""
        for file in self._folder.iterdir():
            if (owner := partial_owner(file.name)) is not None and not _is_running(owner):
                file.unlink(missing_ok=True)
        files = [file for file in self._folder.iterdir() if file != newest and not file.name.startswith(".")]
        total = newest.stat().st_size
        for file in sorted(files, key=lambda file: -file.stat().st_mtime):
            total += file.stat().st_size
            if total > self._max_bytes:
                file.unlink(missing_ok=True)


def write_reference(
    path: Path,
    model: Model,
    chunks: Chunks,
    *,
    n_threads: int,
    max_bytes: int = MAX_BYTES,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Compute a reference and write it, chunk after chunk: memory holds one. `progress`: chunks done, in all.

    Raises `DataError` as soon as it exceeds `max_bytes`, or if logits are no numbers; nothing is left behind then.
    """
    head = {"n_chunk": chunks.n_chunk, "n_ctx": chunks.n_ctx, "n_vocab": model.n_vocab, "bos": chunks.bos}
    encoded = json.dumps(head).encode()
    scored = slice(chunks.first_scored, chunks.n_ctx - 1)
    with (
        whole_file(path) as partial,
        partial.open("wb") as file,
        Evaluator(model, n_ctx=chunks.n_ctx, n_outputs=chunks.n_scored, n_threads=n_threads) as evaluator,
        RowBlocks(n_threads) as blocks,
    ):
        file.write(_MAGIC + struct.pack("<I", len(encoded)) + encoded + chunks.tokens.astype("<i4").tobytes())
        for i in range(chunks.n_chunk):
            logits, targets = evaluator.logits(chunks.evaluated(i), scored), chunks.targets(i)
            if not np.isfinite(logits.max(axis=1)).all():
                raise DataError(
                    f"{model.path.name} gives no numbers in chunk {i + 1} of {chunks.n_chunk}: nothing can be compared "
                    f"with it (convert or download it again)"
                )
            rows = blocks.map(lambda part: _encoded(logits[part], targets[part]), *logits.shape)  # noqa: B023
            for column in zip(*rows, strict=True):
                file.writelines(column)
            if file.tell() > max_bytes:
                raise DataError(
                    f"the reference exceeds {max_bytes} bytes at chunk {i + 1} of {chunks.n_chunk} "
                    f"(use fewer chunks, or --reference-gib to raise the bound)"
                )
            progress(i + 1, chunks.n_chunk)


def reference_key(model: Model, chunks: Chunks) -> str:
    """A hash of all that the predictions depend on: the file's bytes, the tokens, the build and the form."""
    parts = (model_sha256(model.path), chunks.key, model.library.build_info(), _MAGIC.hex())
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _encoded(logits: NDArray[np.float32], targets: NDArray[np.int32]) -> tuple[bytes, ...]:
    """The columns of some rows, in the order in which a chunk holds them."""
    peak, log_sum = peak_and_log_sum(logits)
    log_p = logits - (peak + log_sum.astype(np.float32))[:, None]
    mask = log_p > MIN_LOG_PROBABILITY
    nll = -log_p[np.arange(len(targets)), targets]
    return (
        nll.astype("<f4").tobytes(),
        logits.argmax(axis=1).astype("<i4").tobytes(),
        mask.sum(axis=1).astype("<u4").tobytes(),
        np.packbits(mask, axis=1, bitorder="little").tobytes(),
        log_p[mask].astype("<f4").tobytes(),
    )


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _taken(file: BinaryIO, n_bytes: int, path: Path) -> bytes:
    data = file.read(n_bytes)
    if len(data) < n_bytes:
        raise FileFormatError(f"{path} is damaged: it ends early (remove it)")
    return data
