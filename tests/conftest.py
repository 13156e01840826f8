"""Fixtures that several packages' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The SmolLM2 file: FUNCTIONGATE_TEST_MODEL, or the catalogue's, downloaded once."""
    if given := os.environ.get("FUNCTIONGATE_TEST_MODEL"):
        return Path(given)
    from server.models import resolve

    return Path(resolve("smollm2-135m"))
