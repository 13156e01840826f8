"""What flows into the matrix products of a model, seen while llama.cpp computes them.

Knows ggml's evaluation callback and the layout of its tensors, which is checked against ggml's own accessors before
anything is read; no file, no statistic. The law: a view is valid during the visit only; copy to keep.
Source: `ggml/include/ggml.h` (struct ggml_tensor), `ggml/include/ggml-backend.h` (ggml_backend_sched_eval_callback).
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantizer.errors import NativeError
from server.llama.library import library

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_N_DIMS, _N_SRC, _NAME_BYTES = 4, 10, 64
_OP_PARAM_BYTES = 64
_N_OPS = 96  # operations are numbered from 0; there are 101 in this version, and no accessor of their count
_OBJECT_BYTES = 32  # ggml_tensor_overhead() counts a ggml_object with each tensor
_F32 = 0


class _Tensor(ctypes.Structure):
    """`struct ggml_tensor`: 336 bytes."""

    _fields_ = (
        ("type", ctypes.c_int32),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * _N_DIMS),
        ("nb", ctypes.c_size_t * _N_DIMS),
        ("op", ctypes.c_int32),
        ("op_params", ctypes.c_uint8 * _OP_PARAM_BYTES),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * _N_SRC),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * _NAME_BYTES),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_uint8 * 8),
    )


@dataclass(frozen=True, slots=True)
class Product:
    """One matrix product of a weight with activations.

    `inputs` has the shape `[i3, i2, rows, n_in]`; each row is what one token brings. `n_mat` matrices lie in the
    weight, `[n3, n2]` of them. `experts`, of shape `[tokens, used]`, says which of them each row of `inputs` meets
    (`inputs` is then `[1, tokens, used or 1, n_in]`); None for a dense weight. `source` names the activations: products
    with the same one in a row see the same data.
    """

    weight: str
    inputs: NDArray[np.float32]
    matrices: tuple[int, int]
    experts: NDArray[np.int32] | None
    source: int

    @property
    def n_mat(self) -> int:
        """How many matrices the weight holds."""
        return self.matrices[0] * self.matrices[1]


class ProductTap:
    """Shows every matrix product of a weight that `wants` names, with at least `min_rows` rows, to `visit`.

    `callback` is for a context, which must not outlive this object. What `visit` raises stops the evaluation; the
    caller asks for it with `check` after each decode. Raises `NativeError` if llama.cpp's tensors are not those known.
    """

    def __init__(self, wants: Callable[[str], bool], visit: Callable[[Product], None], *, min_rows: int = 1) -> None:
        self._wants, self._visit, self._min_rows = wants, visit, min_rows
        self._error: BaseException | None = None
        self._is_checked = False
        self._product, self._expert_product = _operation("MUL_MAT"), _operation("MUL_MAT_ID")
        if ctypes.sizeof(_Tensor) + _OBJECT_BYTES != _tensor_overhead():
            raise NativeError(
                f"llama.cpp's tensors have {_tensor_overhead() - _OBJECT_BYTES} bytes, not {ctypes.sizeof(_Tensor)}: "
                "this is another llama.cpp; `make clean install` brings the one that is needed"
            )
        c = library().c
        self.callback: Any = c.ggml_backend_sched_eval_callback(self._on_node)

    def check(self) -> None:
        """Raise what stopped the last evaluation, if anything did."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _on_node(self, address: int, ask: bool, _: Any) -> bool:
        """Called for each node: asked whether its result is wanted, then shown it. False at the second stops."""
        try:
            node = _Tensor.from_address(address)
            if not self._is_checked:
                _check_layout(address, node)
                self._is_checked = True
            if node.op not in (self._product, self._expert_product):
                return False
            if ask:
                return self._is_wanted(node)
            self._visit(_product(node, has_experts=node.op == self._expert_product))
        except BaseException as error:  # noqa: BLE001  it may not cross C: kept, and raised by check()
            self._error = self._error or error
            return False
        return True

    def _is_wanted(self, node: _Tensor) -> bool:
        weight = _Tensor.from_address(node.src[0])
        if not self._wants(_weight_name(weight)):
            return False
        if node.op == self._expert_product:
            return True
        inputs = _Tensor.from_address(node.src[1])
        return bool(inputs.type == _F32 and inputs.ne[1] >= self._min_rows)


def _product(node: _Tensor, *, has_experts: bool) -> Product:
    weight = _Tensor.from_address(node.src[0])
    inputs = _Tensor.from_address(node.src[1])
    name = _weight_name(weight)
    if inputs.type != _F32 or inputs.ne[0] != weight.ne[0]:
        raise NativeError(f"the activations of {name} have the type {inputs.type} and {inputs.ne[0]} columns")
    experts = None
    if has_experts:
        ids = _Tensor.from_address(node.src[2])
        if ids.ne[1] != inputs.ne[2] or inputs.ne[3] != 1:
            raise NativeError(f"{name} routes {ids.ne[1]} tokens, but its activations have {inputs.ne[2]}")
        experts = _view(ids, np.dtype(np.int32))[0, 0]
    return Product(
        weight=name,
        inputs=_view(inputs, np.dtype(np.float32)),
        matrices=(weight.ne[3], weight.ne[2]),
        experts=experts,
        source=node.src[1],
    )


def _view(tensor: _Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A tensor in host memory as an array `[ne3, ne2, ne1, ne0]`, its strides kept."""
    shape, strides = tuple(tensor.ne)[::-1], tuple(tensor.nb)[::-1]
    if not tensor.data or not _is_host_function()(tensor.buffer):
        raise NativeError(f"the tensor {tensor.name.decode('utf-8', 'replace')} is not in this computer's memory")
    n_bytes = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + dtype.itemsize
    memory = (ctypes.c_uint8 * n_bytes).from_address(tensor.data)
    return np.ndarray(shape, dtype, buffer=memory, strides=strides)


def _weight_name(weight: _Tensor) -> str:
    """`CUDA0#blk.0.attn_k.weight#0`, as the scheduler names copies, is `blk.0.attn_k.weight`."""
    name: str = weight.name.decode("utf-8", "replace")
    return name.split("#")[1] if "#" in name else name


def _check_layout(address: int, node: _Tensor) -> None:
    """Compare what the layout says of one node with what ggml's accessors say. Raises `NativeError`."""
    function = library().function
    pointer, size = [ctypes.c_void_p], ctypes.c_size_t
    ours = {
        "ggml_get_name": address + _Tensor.name.offset,
        "ggml_get_data": node.data,
        "ggml_nelements": int(np.prod([*node.ne])),
        "ggml_element_size": node.nb[0],
    }
    restypes = {"ggml_get_name": ctypes.c_void_p, "ggml_get_data": ctypes.c_void_p, "ggml_nelements": ctypes.c_int64}
    for name, value in ours.items():
        said = function(name, pointer, restypes.get(name, size))(address)
        if said != value:
            raise NativeError(
                f"{name} says {said} where {value} was read: llama.cpp's tensors are not those this package knows "
                "(`make clean install` brings the llama-cpp-python that has them)"
            )


def _tensor_overhead() -> int:
    return int(library().function("ggml_tensor_overhead", [], ctypes.c_size_t)())


@functools.cache
def _is_host_function() -> Callable[[int], bool]:
    function: Callable[[int], bool] = library().function(
        "ggml_backend_buffer_is_host", [ctypes.c_void_p], ctypes.c_bool
    )
    return function


def _operation(name: str) -> int:
    """The number of ggml's operation of this name. Raises `NativeError` if it has none."""
    op_name = library().function("ggml_op_name", [ctypes.c_int], ctypes.c_char_p)
    for number in range(_N_OPS):
        if op_name(number) == name.encode():
            return number
    raise NativeError(f"llama.cpp has no operation {name}")
