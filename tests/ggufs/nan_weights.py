"""A GGUF some of whose weights are no numbers, as a conversion that overflowed leaves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantizer.model.inventory import read_inventory

if TYPE_CHECKING:
    from pathlib import Path


def put_nan(path: Path, name: str, row: int = 0) -> None:
    """Write NaN over one row of the tensor of F32, F16 or Q8_0 in the file at `path`; of a block its scale is."""
    inventory = read_inventory(path)
    tensor = inventory.by_name[name]
    start = inventory.header.data_offset + tensor.offset
    row_bytes = tensor.row_length // tensor.type.block * tensor.type.block_bytes
    data = np.memmap(path, np.uint8, "r+", start + row * row_bytes, (row_bytes,))
    if tensor.type.name == "Q8_0":
        data.reshape(-1, tensor.type.block_bytes)[:, :2] = np.array([np.nan], np.float16).view(np.uint8)
    else:
        kind = np.float32 if tensor.type.name == "F32" else np.float16
        data.view(kind)[:] = np.nan
    data.flush()
