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

ALL_KERNELS, NO_KERNELS = 0b111, 0
"""What `Library.set_kernels` takes; see `kernels/switch.h` for the bits."""


class Library:
    """The loaded bindings. `c` is the `llama_cpp` module: raw functions, one for each function of llama.h.

    `folder` is where its files are. Whether the kernels of `kernels/` are used is a word in the library that any thread
    may change (`set_kernels`); FUNCTIONGATE_KERNELS=0 in the environment has them off from the beginning.
    Raises `LibraryError` if the bindings cannot be imported or no CPU backend can be registered.
    """

    def __init__(self) -> None:
        try:
            import llama_cpp  # noqa: PLC0415 - mapping the library is work, and work waits for its first use
        except (ImportError, OSError, RuntimeError) as error:
            raise LibraryError(f"llama-cpp-python cannot be loaded: {error} (make clean install)") from error
        self.c: Any = llama_cpp
        # Symbols looked up through libllama's own handle come from the copies of ggml that libllama resolved.
        # The wheel holds further copies under other names; each would be a second library with an empty registry.
        self._handle: Any = llama_cpp.llama_cpp._lib  # noqa: SLF001 - the bindings expose no other way to it
        self.folder = Path(self._handle._name).parent  # noqa: SLF001 - ctypes keeps the path nowhere else
        # libc's getpid ignores its arguments: a silent log that never takes the GIL, from whatever thread.
        self._silence = ctypes.cast(ctypes.CDLL(None).getpid, llama_cpp.llama_log_callback)
        self.set_verbose(verbose=False)
        self.c.llama_backend_init()
        if not self._has_cpu_backend():
            self._load_cpu_variants()
        self._set_kernels, self._get_kernels = self._find_switch()
        self._kernels_built = None if self._set_kernels is None else self._name_kernels()
        self.set_kernels(NO_KERNELS if os.environ.get("FUNCTIONGATE_KERNELS") == "0" else ALL_KERNELS)

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

    @property
    def kernels(self) -> str | None:
        """Names ggml's files, if their products are our own now, and so round otherwise; None if they are ggml's."""
        is_on = self._get_kernels is not None and self._get_kernels() != NO_KERNELS
        return self._kernels_built if is_on else None

    def set_kernels(self, kernels: int) -> None:
        """Use these kernels of our own from now on: `ALL_KERNELS`, `NO_KERNELS`, or bits of `switch.h`.

        Does nothing if the library was built without them.
        """
        if self._set_kernels is not None:
            self._set_kernels(kernels)

    def _find_switch(self) -> tuple[Any, Any]:
        """The functions of `switch.h`; (None, None) if the library has none.

        With a backend for each CPU generation, libllama's handle does not lead to the one that was loaded.
        """
        for handle in (self._handle, *map(ctypes.CDLL, _mapped(self.folder, "*ggml-cpu*"))):
            if hasattr(handle, "functiongate_set_kernels"):
                setter = ctypes.CFUNCTYPE(None, ctypes.c_uint)(("functiongate_set_kernels", handle))
                getter = ctypes.CFUNCTYPE(ctypes.c_uint)(("functiongate_get_kernels", handle))
                return setter, getter
        return None, None

    def _name_kernels(self) -> str | None:
        if platform.machine().lower() not in ("x86_64", "amd64"):
            return None
        files = (file.read_bytes() for file in sorted(self.folder.glob("*ggml-cpu*")))
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


def _mapped(folder: Path, pattern: str) -> list[str]:
    """The files of `folder` that this process has mapped (proc(5)); none where the kernel does not tell."""
    maps = Path("/proc/self/maps")
    mapped = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines()} if maps.exists() else set()
    return [str(file) for file in sorted(folder.glob(pattern)) if str(file.resolve()) in mapped]


@functools.cache
def library() -> Library:
    """The process's one library, initialised on the first call. Raises `LibraryError`."""
    return Library()
