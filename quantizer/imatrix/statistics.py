"""What an importance matrix says of tensors and layers: the statistics of llama-imatrix's `--show-statistics`.

Knows arrays only. Convention: every statistic is over a_j = Σx² / count, the mean squared activation of an input
column, all matrices of a weight together and those that nothing was routed to left out; cosines are over the sums.
They compare tensors of one kind; N, the number of a_j, differs between kinds. "ZD" is over squared activations here.
Source: `tools/imatrix/imatrix.cpp` (compute_statistics, compute_cossim, show_statistics).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from quantizer.imatrix.file import Imatrix, ImatrixEntry

ACTIVE_ABOVE = 1e-5
_BLOCK = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """One weight's inputs. Shares are fractions from 0 to 1; `entropy` is in bits.

    `total` is Σ(Act²), `zd` the share of columns more than a standard deviation above μ, `normalised_entropy`
    entropy / log2(N) and `cosine` the similarity with the same weight one layer before (0 where there is none).
    """

    name: str
    layer: int | None
    kind: str
    total: float
    minimum: float
    maximum: float
    mean: float
    deviation: float
    active: float
    n: int
    entropy: float
    normalised_entropy: float
    zd: float
    cosine: float


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """A layer's tensors, averaged with their N as weights."""

    layer: int
    total: float
    zd: float
    cosine: float


def tensor_statistics(imatrix: Imatrix) -> tuple[TensorStatistics, ...]:
    """Statistics of every weight that anything flowed into, by kind, strongest first, as llama-imatrix lists them."""
    found = (_statistics(name, entry, imatrix.entries) for name, entry in imatrix.entries.items() if entry.counts.any())
    return tuple(sorted(found, key=lambda s: (s.kind, -s.total)))


def recipe_statistics(imatrix: Imatrix) -> dict[str, dict[str, float]]:
    """The statistics that recipes ask for, by name and tensor: `zd`, `cossim` and `energy`, which is Σ(Act²).

    The first layer has none before it to be alike to, and so no `cossim`.
    """
    tensors = tensor_statistics(imatrix)
    return {
        "zd": {each.name: each.zd for each in tensors},
        "cossim": {each.name: each.cosine for each in tensors if each.layer},
        "energy": {each.name: each.total for each in tensors},
    }


def layer_statistics(tensors: Iterable[TensorStatistics]) -> tuple[LayerStatistics, ...]:
    """Statistics of every layer, in order."""
    by_layer: dict[int, list[TensorStatistics]] = {}
    for tensor in tensors:
        if tensor.layer is not None:
            by_layer.setdefault(tensor.layer, []).append(tensor)
    return tuple(_layer(layer, members) for layer, members in sorted(by_layer.items()))


def _layer(layer: int, members: list[TensorStatistics]) -> LayerStatistics:
    n = [member.n for member in members]
    return LayerStatistics(
        layer,
        total=float(np.average([member.total for member in members], weights=n)),
        zd=float(np.average([member.zd for member in members], weights=n)),
        cosine=float(np.average([member.cosine for member in members], weights=n)),
    )


def _statistics(name: str, entry: ImatrixEntry, entries: Mapping[str, ImatrixEntry]) -> TensorStatistics:
    a = entry.mean_squares()[entry.counts > 0].astype(np.float64).reshape(-1)
    total, mean, n = float(a.sum()), float(a.mean()), len(a)
    deviation = float(np.sqrt(max(0.0, float(np.mean(a * a)) - mean * mean)))
    p = a[a > 0] / total if total > 0 else np.zeros(0)
    entropy = float(-(p * np.log2(p)).sum())
    block = _BLOCK.search(name)
    return TensorStatistics(
        name=name,
        layer=int(block[1]) if block else None,
        kind=_kind(name),
        total=total,
        minimum=float(a.min()),
        maximum=float(a.max()),
        mean=mean,
        deviation=deviation,
        active=float(np.mean(np.abs(a) > ACTIVE_ABOVE)),
        n=n,
        entropy=entropy,
        normalised_entropy=entropy / float(np.log2(n)) if n > 1 else 0.0,
        zd=float(np.mean((a - mean) / deviation > 1)) if deviation > 0 else 0.0,
        cosine=_cosine_with_previous(name, block, entries),
    )


def _cosine_with_previous(name: str, block: re.Match[str] | None, entries: Mapping[str, ImatrixEntry]) -> float:
    if block is None:
        return 0.0
    previous = entries.get(f"{name[: block.start(1)]}{int(block[1]) - 1}{name[block.end(1) :]}")
    if previous is None or previous.sums.shape != entries[name].sums.shape:
        return 0.0
    return _cosine(entries[name].sums.astype(np.float64), previous.sums.astype(np.float64))


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.vdot(a, b)) / norms if norms > 0 else 0.0


def _kind(name: str) -> str:
    """`blk.3.attn_k.weight` is of the kind `attn_k`."""
    parts = name.split(".")
    return parts[parts.index("weight") - 1] if "weight" in parts[1:] else name
