"""A picture of bits: one cell for each kind of tensor and layer. Drawn by matplotlib, which is an optional extra.

Knows figures only. The law: importing this module needs no matplotlib; drawing without it says how to get it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantizer.errors import DataError
from quantizer.model.inventory import Tensor
from server.model_files.ggml_types import GgmlType

FORMATS = (".png", ".svg")


def bits_by_layer(typed: Iterable[tuple[Tensor, GgmlType]]) -> tuple[list[str], NDArray[np.float64]]:
    """Names of kinds, and their bits per weight, `[n_kinds, n_layers]`; NaN where a layer has no such tensor.

    Matrices of layers only: norms and biases are left out, embeddings belong to no layer.
    """
    cells = {
        (tensor.kind, tensor.layer): kind.bits_per_weight
        for tensor, kind in typed
        if tensor.layer is not None and len(tensor.shape) > 1
    }
    kinds = sorted({name for name, _ in cells})
    n_layers = max((layer for _, layer in cells), default=-1) + 1
    bits = np.full((len(kinds), n_layers), np.nan)
    for (name, layer), value in cells.items():
        bits[kinds.index(name), layer] = value
    return kinds, bits


def draw_heat_map(typed: Iterable[tuple[Tensor, GgmlType]], title: str, path: Path) -> None:
    """Draw the bits to `path`, a PNG or SVG by its ending. Raises `DataError` for another, or without matplotlib."""
    if path.suffix not in FORMATS:
        raise DataError(f"{path} is to end in {' or '.join(FORMATS)}")
    try:
        from matplotlib import rc_context  # noqa: PLC0415  an extra, and slow to import
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise DataError("pictures need matplotlib: pip install 'functiongate[report]'") from error
    kinds, bits = bits_by_layer(typed)
    if not kinds:
        raise DataError("the model has no layers with matrices: there is nothing to draw")
    figure = Figure(figsize=(2.5 + 0.28 * bits.shape[1], 1.5 + 0.3 * len(kinds)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(bits, aspect="auto", cmap="viridis", vmin=0, vmax=max(8.5, float(np.nanmax(bits))))
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_xlabel("layer")
    axes.set_title(title)
    figure.colorbar(image, label="bits per weight")
    # Without the date and the random ids of SVG, the same model gives the same picture.
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    with rc_context({"svg.hashsalt": title}):
        figure.savefig(path, metadata=metadata)
