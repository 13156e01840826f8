"""The boundary's errors. Everything that would abort the process in C is refused here first.

LlamaError              a call that llama.cpp refused, or that it must never see
├── LibraryError        the shared library or its CPU backend cannot be loaded
└── ModelLoadError      the file is missing, damaged, or of an unknown architecture
"""


class LlamaError(Exception):
    """A call into llama.cpp that failed, or that was refused because it would abort the process."""


class LibraryError(LlamaError):
    """The llama.cpp library is not usable on this machine."""


class ModelLoadError(LlamaError):
    """A model file cannot be loaded."""
