"""Rows of stored values: whether they are numbers, and what numbers they are. ggml's own reading of its types.

Knows the two functions of ggml.h that this takes, and a struct of one of them. The law: data is as long as whole blocks
of its type, or it does not cross.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from quantizer.errors import NativeError
from server.llama.library import library
from server.model_files.ggml_types import GgmlType


class _TypeTraits(ctypes.Structure):
    """`struct ggml_type_traits` of ggml.h."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.c_void_p),
        ("from_float_ref", ctypes.c_void_p),
    )


def are_finite(kind: GgmlType, data: NDArray[np.uint8]) -> bool:
    """Whether all values, and all scales, in a tensor's bytes are finite (`ggml_validate_row_data`).

    ggml writes where it met another to stderr. Raises `NativeError` if the data is not whole blocks.
    """
    _check(kind, data)
    arguments = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    validate = library().function("ggml_validate_row_data", arguments, ctypes.c_bool)
    return bool(validate(kind.id, data.ctypes.data, data.nbytes))


def dequantized(kind: GgmlType, data: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The values in a tensor's bytes, float32, one after the other. Raises `NativeError` if ggml cannot read them."""
    _check(kind, data)
    if kind.name == "F32":
        return data.view(np.float32).copy()
    traits = library().function("ggml_get_type_traits", [ctypes.c_int], ctypes.POINTER(_TypeTraits))(kind.id).contents
    if (traits.blck_size, traits.type_size) != (kind.block, kind.block_bytes) or not traits.to_float:
        raise NativeError(
            f"this llama.cpp does not read {kind.name} as expected; `make clean install` brings the one that is needed"
        )
    values = np.empty(data.nbytes // kind.block_bytes * kind.block, np.float32)
    to_float = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(traits.to_float)
    to_float(data.ctypes.data, values.ctypes.data, values.size)
    return values


def _check(kind: GgmlType, data: NDArray[np.uint8]) -> None:
    if data.nbytes % kind.block_bytes or not data.flags.c_contiguous:
        raise NativeError(f"{data.nbytes} bytes are not whole blocks of {kind.name}")
