"""Fixtures that several packages' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A loaded machine is slow, not wrong: laws are checked, speed is measured elsewhere.
settings.register_profile("functiongate", deadline=None)
settings.load_profile("functiongate")


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The SmolLM2 file: FUNCTIONGATE_TEST_MODEL, or the catalogue's, downloaded once."""
    if given := os.environ.get("FUNCTIONGATE_TEST_MODEL"):
        return Path(given)
    from server.model_files.catalogue import resolve

    return Path(resolve("smollm2-135m"))
