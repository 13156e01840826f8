"""Pictures of an importance matrix's statistics: per layer, and per tensor kind and layer.

Knows statistics and matplotlib, which is asked for when a picture is drawn (`pip install 'functiongate[report]'`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantizer.errors import QuantizerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from quantizer.imatrix.statistics import LayerStatistics, TensorStatistics


def plot_statistics(path: Path, tensors: Sequence[TensorStatistics], layers: Sequence[LayerStatistics]) -> None:
    """Draw both into one picture, of the type that the suffix names: svg, png, pdf.

    Raises `QuantizerError` without matplotlib, for an unknown suffix, or if the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  optional, and slow to import
    except ImportError as error:
        raise QuantizerError("pictures need matplotlib (pip install 'functiongate[report]')") from error
    figure = Figure(figsize=(11, 9), layout="constrained")
    total, share, heat = figure.subplots(3, 1, height_ratios=(1, 1, 1.4))
    numbers = [layer.layer for layer in layers]
    total.semilogy(numbers, [layer.total for layer in layers], marker="o")
    total.set(title="Σ(Act²) per layer, weighted by columns", xlabel="layer", ylabel="Σ(Act²)")
    share.plot(numbers, [layer.zd for layer in layers], marker="o", label="ZD")
    share.plot(numbers, [layer.cosine for layer in layers], marker="s", label="CosSim with the layer before")
    share.set(xlabel="layer", ylim=(0, 1.05))
    share.legend()
    kinds, table = _normalised_entropies(tensors)
    image = heat.imshow(table, aspect="auto", interpolation="nearest", vmin=0, vmax=1)
    heat.set(title="Normalised entropy of Act² (low: few columns matter)", xlabel="layer")
    heat.set_yticks(range(len(kinds)), kinds)
    figure.colorbar(image, ax=heat)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise QuantizerError(f"cannot write the picture {path}: {error}") from error


def _normalised_entropies(tensors: Sequence[TensorStatistics]) -> tuple[list[str], np.ndarray]:
    """The kinds of tensors in layers, and a table `[kind, layer]`; NaN where a layer has none."""
    inside = [tensor for tensor in tensors if tensor.layer is not None]
    kinds = sorted({tensor.kind for tensor in inside})
    n_layer = 1 + max((tensor.layer or 0 for tensor in inside), default=0)
    table = np.full((max(1, len(kinds)), n_layer), np.nan)
    for tensor in inside:
        table[kinds.index(tensor.kind), tensor.layer or 0] = tensor.normalised_entropy
    return kinds, table
