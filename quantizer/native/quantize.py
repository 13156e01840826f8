"""`llama_model_quantize`: a model file in, a model file out, one anchored override for each tensor.

Knows the parameter struct and its arrays; decides nothing. The law: what C++ throws inside is caught there and comes
back as `NativeError`; what it would abort on has been refused by the plan, or is refused here before the call.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizer.errors import NativeError
from server.llama.library import Library, library

_NOT_SET = 43  # GGML_TYPE_COUNT: no type for all embeddings or outputs
_PARAMS_BYTES = 64
_TAG_INT, _TAG_BOOL, _TAG_TEXT = 0, 2, 3  # llama_model_kv_override_type
_MAX_TEXT_BYTES = 127
_LOG_LINES = 40  # kept of the log, to explain a failure


@dataclass(frozen=True, slots=True)
class Job:
    """One call. `types` are ids by tensor, `weights` float32 by tensor, `entries` metadata to add or replace.

    `target` is the file to write or, with `keep_split`, what the names of its parts begin with.
    `buffer_bytes` bounds the rows that are held at once.
    """

    source: Path
    target: Path
    file_type: int
    types: Mapping[str, int]
    entries: Mapping[str, str | int | bool]
    weights: Mapping[str, NDArray[np.float32]]
    allow_requantize: bool
    keep_split: bool
    n_threads: int
    buffer_bytes: int


def run(job: Job, on_line: Callable[[str], None]) -> None:
    """Do the job; `on_line` hears each line of llama.cpp's log, and must not raise.

    The log is one for the process: while this runs, nothing else is told to anyone. Ctrl-C returns at once, as
    KeyboardInterrupt, while the call goes on in its thread until the process ends: C++ cannot be stopped.
    Raises `NativeError` if llama.cpp refuses or fails, or if its struct is not the one that this module knows.
    """
    native = library()
    arguments = _Arguments(job, native)
    log = _Log(on_line)
    callback = native.c.llama_log_callback(log.hear)
    native.c.llama_log_set(callback, ctypes.c_void_p(0))
    failed: list[int] = []

    def call(*_kept_alive: object) -> None:
        failed.append(native.c.llama_model_quantize(*arguments.positional))

    thread = threading.Thread(target=call, args=(callback,), name="llama_model_quantize", daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
    finally:
        native.set_verbose(verbose=False)
    if failed != [0]:
        raise NativeError(f"llama.cpp did not quantize {job.source}: {log.reason()}")


class _Log:
    """Puts the pieces of the log together to lines, and remembers the last of them."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = ""
        self._lines: list[str] = []

    def hear(self, _level: int, text: bytes, _user_data: object) -> None:
        *lines, self._rest = (self._rest + text.decode("utf-8", "replace")).split("\n")
        for line in lines:
            self._lines = [*self._lines[1 - _LOG_LINES :], line]
            self._on_line(line)
        if self._rest.endswith(", "):
            self._on_line(self._rest)  # the tensor that it begins with: the line ends when it is done

    def reason(self) -> str:
        """What it said last about a failure."""
        for line in reversed(self._lines):
            if "failed to quantize" in line:
                return line.partition("failed to quantize:")[2].strip() or line.strip()
        return next((line.strip() for line in reversed(self._lines) if line.strip()), "it said nothing")


class _Arguments:
    """The arguments of the call, and everything that they point to, kept alive."""

    def __init__(self, job: Job, native: Library) -> None:
        c = native.c.llama_cpp
        params = c.llama_model_quantize_default_params()
        _check_layout(params)
        self._weights = {name: _checked(name, values) for name, values in job.weights.items()}
        self._overrides = _overrides(c, job.types)
        self._entries = _entries(c, job.entries)
        self._imatrix = self._imatrix_array(c)
        params.nthread = job.n_threads
        params.ftype = job.file_type
        params.allow_requantize = job.allow_requantize
        params.keep_split = job.keep_split
        params.max_buf_size = job.buffer_bytes
        params.tt_overrides = ctypes.cast(self._overrides, type(params.tt_overrides))
        params.kv_overrides = ctypes.cast(self._entries, type(params.kv_overrides))
        if self._weights:
            params.imatrix = ctypes.cast(self._imatrix, type(params.imatrix))
        self._params = params
        self.positional = (bytes(job.source), bytes(job.target), ctypes.byref(params))

    def _imatrix_array(self, c: Any) -> Any:
        array = (c.llama_model_imatrix_data * (len(self._weights) + 1))()
        for slot, (name, values) in zip(array, self._weights.items(), strict=False):
            slot.name = name.encode()
            slot.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            slot.size = values.size
        return array


def anchored(name: str) -> str:
    """The regular expression (ECMAScript's, as llama.cpp reads it) that is found in this tensor's name alone."""
    return "^" + re.sub(r"([^0-9A-Za-z_])", r"\\\1", name) + "$"


def _overrides(c: Any, types: Mapping[str, int]) -> Any:
    array = (c.llama_model_tensor_override * (len(types) + 1))()
    for slot, (name, kind) in zip(array, types.items(), strict=False):
        slot.pattern, slot.type = anchored(name).encode(), kind
    return array


def _entries(c: Any, entries: Mapping[str, str | int | bool]) -> Any:
    array = (c.llama_model_kv_override * (len(entries) + 1))()
    for slot, (key, value) in zip(array, entries.items(), strict=False):
        slot.key = _short(key)
        if isinstance(value, str):
            slot.tag, slot.value.val_str = _TAG_TEXT, _short(value)
        elif isinstance(value, bool):
            slot.tag, slot.value.val_bool = _TAG_BOOL, value
        else:
            slot.tag, slot.value.val_i64 = _TAG_INT, value
    return array


def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > _MAX_TEXT_BYTES or b"\0" in encoded:
        raise NativeError(f"{text!r} does not fit llama.cpp's {_MAX_TEXT_BYTES} bytes for a metadata entry")
    return encoded


def _checked(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    weights = np.ascontiguousarray(values, np.float32).reshape(-1)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise NativeError(f"the imatrix has weights for {name} that are negative or not finite; collect it again")
    return weights


def _check_layout(params: Any) -> None:
    """The defaults as llama.h has them, read through the bindings' struct: any other layout would not show them."""
    known = (params.nthread, params.ftype, params.output_tensor_type, params.token_embedding_type)
    if ctypes.sizeof(params) != _PARAMS_BYTES or known != (0, 7, _NOT_SET, _NOT_SET) or params.pure:
        raise NativeError(
            "llama.cpp's llama_model_quantize_params is not the one that this version knows; "
            "`make clean install` brings the llama-cpp-python that it needs"
        )
