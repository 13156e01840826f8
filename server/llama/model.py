"""A model file: opened, described, closed.

Knows GGUF through llama.cpp only; contexts decode with it. Close contexts before their model: the model keeps
count of them, and closes late ones itself, because freeing weights under a context kills the process.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from server.llama.errors import LlamaError, ModelLoadError
from server.llama.interrupts import interrupts_held_back
from server.llama.library import library
from server.llama.mapping import forget_pages
from server.llama.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from server.llama.context import Context, Pooling

GGUF_MAGIC = b"GGUF"


class Model:
    """The weights and the vocabulary of one GGUF file (the first file of a split one).

    With `repack` weights are laid out anew for this CPU's kernels, where there are such: faster, but copied out of the
    file. `progress` is called with a fraction from 0 to 1 while the weights load. Raises `ModelLoadError` when the
    file is missing, is not GGUF, or is refused by llama.cpp, and `LibraryError` without a usable library.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        vocab_only: bool = False,
        use_mmap: bool = True,
        repack: bool = True,
        verbose: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._handle: Any = None
        self._contexts: list[Context] = []
        self.path = Path(path)
        _check_is_gguf(self.path)
        self.library = library()
        self.library.set_verbose(verbose=verbose)
        c = self._c = self.library.c
        params = c.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = 0
        params.use_extra_bufts = repack
        params.load_mode = c.LLAMA_LOAD_MODE_MMAP if use_mmap else c.LLAMA_LOAD_MODE_NONE
        halted: list[bool] = []
        on_progress = _progress_callback(progress, halted)
        params.progress_callback = c.llama_progress_callback(on_progress)
        with interrupts_held_back(lambda: halted.append(True)):
            self._handle = c.llama_model_load_from_file(str(self.path).encode(), params)
        if not self._handle:
            raise ModelLoadError(
                f"llama.cpp cannot load {self.path}: the file is damaged or its architecture is newer than "
                f"{self.library.build_info()} (`functiongate serve FILE --verbose` shows its log)"
            )
        if use_mmap and repack:
            forget_pages(self.path)  # what was laid out anew is not read again
        self.vocab_only = vocab_only
        try:
            self._vocabulary = Vocabulary(self.library, c.llama_model_get_vocab(self._handle))
        except LlamaError:
            self.close()
            raise

    @property
    def handle(self) -> Any:
        """The C pointer, for contexts of this package only. Raises `LlamaError` after `close`."""
        if self._handle is None:
            raise LlamaError(f"the model {self.path.name} is closed")
        return self._handle

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens and its tokenizer."""
        return self._vocabulary

    @property
    def metadata(self) -> dict[str, str]:
        """Every key of the file's metadata with its value as text; arrays as llama.cpp prints them."""
        c, handle = self._c, self.handle
        entries = {}
        for i in range(c.llama_model_meta_count(handle)):
            key = _sized_text(c.llama_model_meta_key_by_index, handle, i)
            entries[key] = _sized_text(c.llama_model_meta_val_str_by_index, handle, i)
        return entries

    @property
    def chat_template(self) -> str | None:
        """The Jinja source of the default chat template, or None if the file has none."""
        template = self._c.llama_model_chat_template(self.handle, None)
        return template.decode("utf-8", "replace") if template else None

    @property
    def n_vocab(self) -> int:
        """Number of tokens, which is the length of a row of logits."""
        return len(self._vocabulary.pieces)

    @property
    def n_ctx_train(self) -> int:
        """The context length in tokens that the model was trained for."""
        return int(self._c.llama_model_n_ctx_train(self.handle))

    @property
    def n_embd(self) -> int:
        """The length of a token's hidden state, and of an embedding."""
        return int(self._c.llama_model_n_embd(self.handle))

    @property
    def pooling(self) -> Pooling | None:
        """How the file says that its embeddings are pooled; None if it says nothing, or what is not served."""
        key = f"{self.metadata.get('general.architecture', '')}.pooling_type"
        kinds: dict[str, Pooling] = {"1": "mean", "2": "cls", "3": "last"}
        return kinds.get(self.metadata.get(key, ""))

    @property
    def n_params(self) -> int:
        """The number of weights."""
        return int(self._c.llama_model_n_params(self.handle))

    @property
    def size_bytes(self) -> int:
        """The size of all tensors in bytes."""
        return int(self._c.llama_model_size(self.handle))

    @property
    def description(self) -> str:
        """Architecture, size and quantization, `llama 135M Q4_1` for example."""
        return _sized_text(self._c.llama_model_desc, self.handle)

    @property
    def n_swa(self) -> int:
        """The width of the attention's sliding window in tokens; 0 for full attention."""
        return int(self._c.llama_model_n_swa(self.handle))

    @property
    def is_recurrent(self) -> bool:
        """Whether some state of a sequence is a running sum, which cannot be cut back to an earlier token."""
        c = self._c
        return bool(c.llama_model_is_recurrent(self.handle) or c.llama_model_is_hybrid(self.handle))

    def attach(self, context: Context) -> None:
        """Record a context that decodes with this model."""
        self._contexts.append(context)

    def detach(self, context: Context) -> None:
        """Forget a context that was closed."""
        self._contexts.remove(context)

    def close(self) -> None:
        """Free the contexts and then the model. May be called again."""
        for context in tuple(self._contexts):
            context.close()
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        if vocabulary := getattr(self, "_vocabulary", None):
            vocabulary.close()
        self._c.llama_model_free(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_is_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelLoadError(f"the model file {path} cannot be read: {error.strerror or error}") from error
    if magic != GGUF_MAGIC:
        raise ModelLoadError(f"{path} is not a GGUF file: it starts with {magic!r} instead of {GGUF_MAGIC!r}")


def _progress_callback(progress: Callable[[float], None] | None, halted: list[bool]) -> Callable[[float, Any], bool]:
    """llama.cpp gives up loading where it hears False."""

    def on_progress(fraction: float, _: Any) -> bool:
        if progress is not None:
            progress(fraction)
        return not halted

    return on_progress


def _sized_text(function: Callable[..., int], *arguments: Any) -> str:
    """The text that an snprintf-like function writes, of any length: it returns the length it needed."""
    size = 512
    while True:
        buffer = ctypes.create_string_buffer(size)
        n = function(*arguments, buffer, size)
        if n < size:
            return buffer.value.decode("utf-8", "replace")
        size = n + 1
