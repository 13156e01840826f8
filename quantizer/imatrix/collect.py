"""Collects an importance matrix: for every weight, how strong each of its inputs was over calibration text.

Knows what flows into matrix products (`quantizer.native.graph`) and sums it; no file layout. The law: on the same
tokens the sums are llama-imatrix's, and there is one more entry than it has: the tied embedding as output.
Source: `tools/imatrix/imatrix.cpp` (collect_imatrix, compute_imatrix).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from quantizer.calibration.chunks import Chunks
from quantizer.errors import DataError, NativeError
from quantizer.evaluator import FULL_PASS, Evaluator
from quantizer.imatrix.file import TEXTS_KEY, Imatrix, ImatrixEntry, read_imatrix, write_imatrix
from quantizer.model.hashing import model_sha256
from quantizer.native.graph import Product, ProductTap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from server.llama.model import Model

# llama-imatrix ignores products with fewer rows: those of single tokens.
MIN_ROWS = 16
OUTPUTS = ("output.weight", "token_embd.weight")
# Float32 sums of so many rows err by less than 1e-5; the sums of blocks are added in float64.
_BLOCK_ROWS = 64
_RUN_KEY = "functiongate.imatrix.run"
NO_EXTRA: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class _Sums:
    """One weight's growing sums."""

    squares: NDArray[np.float64]
    means: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(slots=True)
class Collector:
    """Sums products as they are shown to `visit`. `imatrix` is what was collected so far."""

    _sums: dict[str, _Sums] = field(default_factory=dict)
    _last: tuple[int, int, NDArray[np.float64], NDArray[np.float64]] | None = None

    @staticmethod
    def wants(weight: str) -> bool:
        """Whether a weight's inputs are collected: those of blocks, and the output's."""
        return weight.startswith("blk.") or weight in OUTPUTS

    def begin(self) -> None:
        """Say that another evaluation begins: the same activations' name now means other data."""
        self._last = None

    def visit(self, product: Product) -> None:
        """Add one product. Raises `NativeError` if an input is not finite, or a weight changed its shape."""
        n_in = product.inputs.shape[-1]
        sums = self._sums.setdefault(product.weight, _empty(product.n_mat, n_in))
        if sums.squares.shape != (product.n_mat, n_in):
            raise NativeError(f"{product.weight} has {product.n_mat} x {n_in} inputs, {sums.squares.shape} before")
        if product.experts is not None:
            _add_experts(sums, product.inputs[0], product.experts)
        elif product.n_mat == 1:
            squares, means = self._summed(product)
            sums.squares[0] += squares
            sums.means[0] += means
            sums.counts += product.inputs[..., 0].size
        else:
            _add_matrices(sums, product)
        if not np.isfinite(sums.squares).all():
            raise NativeError(
                f"the inputs of {product.weight} are not finite: the model is damaged, or its type overflows"
            )

    def check(self) -> None:
        """Raise `NativeError` if some weight missed rows that others saw: a pass over the graph was cut off."""
        counts = {int(sums.counts[0]): name for name, sums in self._sums.items() if len(sums.counts) == 1}
        if len(counts) > 1:
            raise NativeError(f"a pass was cut off: {counts[min(counts)]} saw {min(counts)} rows, others {max(counts)}")

    def imatrix(
        self, datasets: Sequence[str], chunk_count: int, chunk_size: int, extra: Mapping[str, str] = NO_EXTRA
    ) -> Imatrix:
        """The matrix as collected; weights that nothing flowed into are left out."""
        entries = {
            name: ImatrixEntry(sums.squares.copy(), sums.counts.copy(), sums.means.copy())
            for name, sums in self._sums.items()
            if sums.counts.any()
        }
        return Imatrix(entries, tuple(datasets), chunk_count, chunk_size, extra)

    def restore(self, imatrix: Imatrix) -> None:
        """Go on from a matrix that was collected before. Raises `DataError` if it does not hold Σx."""
        for name, entry in imatrix.entries.items():
            if entry.means is None:
                raise DataError(f"the imatrix to go on from holds no sums of {name}: it was not collected by this tool")
            self._sums[name] = _Sums(entry.sums.astype(np.float64), entry.means.astype(np.float64), entry.counts.copy())

    def _summed(self, product: Product) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Σx² and Σx over all rows, `[n_in]` each; query, key and value share one computation."""
        n_in = product.inputs.shape[-1]
        if self._last is not None and self._last[:2] == (product.source, n_in):
            return self._last[2:]
        rows = product.inputs.reshape(-1, n_in)
        squares, means = np.zeros(n_in), np.zeros(n_in)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            squares += np.einsum("ij,ij->j", block, block)
            means += block.sum(axis=0)
        self._last = (product.source, n_in, squares, means)
        return squares, means


def collect(
    model: Model,
    sources: Sequence[tuple[str, Chunks]],
    *,
    n_threads: int,
    checkpoint: Path | None = None,
    checkpoint_every: int = 32,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Imatrix:
    """The importance matrix of a model over `(name, chunks)` sources, all chunks of one size.

    With `checkpoint` what was collected is kept there every `checkpoint_every` chunks, and a later call with the same
    sources goes on from it; the file is removed at the end. `progress` is called with chunks done and in all.
    Raises `DataError` for sources that differ in size or for a checkpoint of something else.
    """
    n_ctx = _common_n_ctx(sources)
    tokens = [chunks.evaluated(i) for _, chunks in sources for i in range(chunks.n_chunk)]
    names = [name for name, _ in sources]
    about = {TEXTS_KEY: " ".join(chunks.text_sha256 for _, chunks in sources if chunks.text_sha256)}
    collector = Collector()
    run = "" if checkpoint is None else _run_key(model, sources)
    done = _resume(collector, checkpoint, run)
    tap = ProductTap(Collector.wants, collector.visit, min_rows=MIN_ROWS)
    with Evaluator(
        model, n_ctx=n_ctx, n_outputs=n_ctx, n_threads=n_threads, n_ubatch=FULL_PASS, eval_callback=tap.callback
    ) as evaluator:
        progress(done, len(tokens))
        for i in range(done, len(tokens)):
            collector.begin()
            evaluator.logits(tokens[i], slice(None))
            tap.check()
            collector.check()
            progress(i + 1, len(tokens))
            if checkpoint is not None and (i + 1) % checkpoint_every == 0:
                write_imatrix(checkpoint, collector.imatrix(names, i + 1, n_ctx, {**about, _RUN_KEY: run}))
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return collector.imatrix(names, len(tokens), n_ctx, about)


def merge(matrices: Sequence[Imatrix]) -> Imatrix:
    """One matrix of several: sums and counts added.

    Raises `DataError` if there is none, their shapes differ, or `.dat` files are among others: those hold means times
    calls of a size they do not tell, which cannot be weighed against sums over rows.
    """
    if not matrices:
        raise DataError("no imatrix was given to merge")
    if len({imatrix.chunk_size == 0 for imatrix in matrices}) > 1:
        raise DataError("a .dat imatrix cannot be merged with one in GGUF form: it does not say how many rows it is of")
    entries: dict[str, ImatrixEntry] = {}
    for imatrix in matrices:
        for name, entry in imatrix.entries.items():
            entries[name] = _added(name, entries[name], entry) if name in entries else entry
    return Imatrix(
        entries,
        tuple(name for imatrix in matrices for name in imatrix.datasets),
        sum(imatrix.chunk_count for imatrix in matrices),
        max(imatrix.chunk_size for imatrix in matrices),
        {TEXTS_KEY: " ".join(texts)} if (texts := [text for imatrix in matrices for text in imatrix.texts]) else {},
    )


def _added(name: str, a: ImatrixEntry, b: ImatrixEntry) -> ImatrixEntry:
    if a.sums.shape != b.sums.shape:
        raise DataError(f"{name} has {a.sums.shape} sums in one imatrix and {b.sums.shape} in another: other models")
    means = None if a.means is None or b.means is None else a.means + b.means
    return ImatrixEntry(a.sums + b.sums, a.counts + b.counts, means)


def _common_n_ctx(sources: Sequence[tuple[str, Chunks]]) -> int:
    sizes = {chunks.n_ctx for _, chunks in sources}
    if len(sizes) != 1:
        raise DataError(f"the sources of an imatrix need chunks of one size, not {sorted(sizes) or 'none'}")
    return sizes.pop()


def _run_key(model: Model, sources: Sequence[tuple[str, Chunks]]) -> str:
    """What a checkpoint must be of: these weights and these tokens."""
    return sha256(" ".join([model_sha256(model.path), *(chunks.key for _, chunks in sources)]).encode()).hexdigest()


def _resume(collector: Collector, checkpoint: Path | None, run: str) -> int:
    """The number of chunks that a checkpoint of this very run holds, restored; 0 without one."""
    if checkpoint is None or not checkpoint.exists():
        return 0
    kept = read_imatrix(checkpoint)
    if kept.extra.get(_RUN_KEY) != run:
        raise DataError(f"{checkpoint} is a checkpoint of other sources or another model: remove it, or name another")
    collector.restore(kept)
    return kept.chunk_count


def _empty(n_mat: int, n_in: int) -> _Sums:
    return _Sums(np.zeros((n_mat, n_in)), np.zeros((n_mat, n_in)), np.zeros(n_mat, dtype=np.int64))


def _add_experts(sums: _Sums, inputs: NDArray[np.float32], experts: NDArray[np.int32]) -> None:
    """`inputs` is `[tokens, used or 1, n_in]`, `experts` `[tokens, used]`."""
    rows = np.broadcast_to(inputs, (*experts.shape, inputs.shape[-1]))
    for expert in np.unique(experts):
        routed = rows[experts == expert].astype(np.float64)
        sums.squares[expert] += np.einsum("ij,ij->j", routed, routed)
        sums.means[expert] += routed.sum(axis=0)
        sums.counts[expert] += len(routed)


def _add_matrices(sums: _Sums, product: Product) -> None:
    """A dense weight of several matrices: inputs are dealt to them in turn, as ggml broadcasts."""
    n3, n2 = product.matrices
    for i3, plane in enumerate(product.inputs):
        for i2, rows in enumerate(plane):
            matrix = (i3 % n3) * n2 + i2 % n2
            block = rows.astype(np.float64)
            sums.squares[matrix] += np.einsum("ij,ij->j", block, block)
            sums.means[matrix] += block.sum(axis=0)
    # One count for the whole weight, as llama.cpp keeps it.
    sums.counts += product.inputs[..., 0].size // product.n_mat
