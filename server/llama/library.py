"""The shared library: found, initialised once, given a CPU backend and a log.

Knows where llama-cpp-python puts its libraries. Knows no model. Importing this module does nothing: the first
`library()` imports the bindings, because that import maps the library into the process.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
from pathlib import Path
from typing import Any

from server.llama.errors import LibraryError


class Library:
    """The loaded bindings. `c` is the `llama_cpp` module: raw functions, one for each function of llama.h.

    `folder` is where its files are. `kernels` names ggml's files if they were built with the products of `kernels/` for
    this processor and the environment does not turn them off; None otherwise. Raises `LibraryError` if the bindings
    cannot be imported or no CPU backend can be registered.
    """

    def __init__(self) -> None:
        try:
            import llama_cpp  # noqa: PLC0415 - mapping the library is work, and work waits for its first use
        except (ImportError, OSError, RuntimeError) as error:
            message = f"llama-cpp-python cannot be loaded: {error} (install llama-cpp-python==0.3.36)"
            raise LibraryError(message) from error
        self.c: Any = llama_cpp
        # Symbols looked up through libllama's own handle come from the copies of ggml that libllama resolved.
        # The wheel holds further copies under other names; each would be a second library with an empty registry.
        self._handle: Any = llama_cpp.llama_cpp._lib  # noqa: SLF001 - the bindings expose no other way to it
        self.folder = Path(self._handle._name).parent  # noqa: SLF001 - ctypes keeps the path nowhere else
        # libc's getpid ignores its arguments: a silent log that never takes the GIL, from whatever thread.
        self._silence = ctypes.cast(ctypes.CDLL(None).getpid, llama_cpp.llama_log_callback)
        self.set_verbose(verbose=False)
        self.kernels = self._find_kernels()
        self.c.llama_backend_init()
        if not self._has_cpu_backend():
            self._load_cpu_variants()

    def set_verbose(self, *, verbose: bool) -> None:
        """Send llama.cpp's log to stderr, or nowhere. The log is one for the whole process."""
        callback = self.c.llama_log_callback(0) if verbose else self._silence
        self.c.llama_log_set(callback, ctypes.c_void_p(0))

    def system_info(self) -> str:
        """The instruction sets that the CPU backend uses, in llama.cpp's words."""
        return str(self.c.llama_print_system_info().decode("utf-8", "replace"))

    def build_info(self) -> str:
        """The versions of the bindings and of llama.cpp, and which kernels of our own, if any, round otherwise."""
        version = self.c.llama_version().decode("utf-8", "replace")
        kernels = f", own kernels {self.kernels}" if self.kernels else ""
        return f"llama-cpp-python {self.c.__version__}, llama.cpp {version}{kernels}"

    def function(self, name: str, argtypes: list[Any], restype: Any) -> Any:
        """An exported function that the bindings do not declare, ggml's among them, out of libllama's own copies.

        Each call makes a function object of its own: a declaration elsewhere changes nothing here.
        """
        prototype = ctypes.CFUNCTYPE(restype, *argtypes)
        return prototype((name, self._handle))

    def _find_kernels(self) -> str | None:
        # In the files: with a backend for each CPU generation no handle leads to the one that is loaded.
        if os.environ.get("FUNCTIONGATE_KERNELS") == "0" or platform.machine().lower() not in ("x86_64", "amd64"):
            return None
        files = [file.read_bytes() for file in sorted(self.folder.glob("*ggml-cpu*"))]
        if not any(b"functiongate_matmul" in file for file in files):
            return None
        return hashlib.sha256(b"".join(files)).hexdigest()[:12]

    def _has_cpu_backend(self) -> bool:
        count = self._handle.ggml_backend_dev_count
        count.argtypes, count.restype = [], ctypes.c_size_t
        return int(count()) > 0

    def _load_cpu_variants(self) -> None:
        """Load the best of the `libggml-cpu-*` files of a `GGML_BACKEND_DL` build.

        The wheel installs them where llama.cpp does not look: beside its own package in `bin/`.
        """
        package = Path(self.c.__file__).resolve().parent
        folders = [package / "lib", package / "bin", package.parent / "bin"]
        load = self._handle.ggml_backend_load_all_from_path
        load.argtypes, load.restype = [ctypes.c_char_p], None
        for folder in folders:
            if any(folder.glob("*ggml-cpu*")):
                load(str(folder).encode())
                if self._has_cpu_backend():
                    return
        searched = ", ".join(str(folder) for folder in folders)
        raise LibraryError(
            f"llama.cpp found no CPU backend that this processor can run (looked in {searched}); "
            f"reinstall llama-cpp-python, or build it with GGML_NATIVE=ON on this machine"
        )


@functools.cache
def library() -> Library:
    """The process's one library, initialised on the first call. Raises `LibraryError`."""
    return Library()
