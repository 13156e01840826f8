"""The cache directory: what can be fetched or computed again. Models, hashes, states of prefixes, references."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """FUNCTIONGATE_CACHE_DIR, else the user's cache directory. It need not be there yet."""
    chosen = os.environ.get("FUNCTIONGATE_CACHE_DIR")
    return Path(chosen) if chosen else platformdirs.user_cache_path("functiongate")
