"""Fixtures that several packages' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from server.machine.heap import freeze_heap

# A loaded machine is slow, not wrong: laws are checked, speed is measured elsewhere.
settings.register_profile("functiongate", deadline=None)
settings.load_profile("functiongate")


def pytest_collection_finish() -> None:
    """Keep the tests themselves out of later collections, as a server keeps what it loaded.

    Thousands of them take half a second to read, in which nothing runs: bounds on time would measure that.
    """
    freeze_heap()


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The SmolLM2 file: FUNCTIONGATE_TEST_MODEL, or the catalogue's, downloaded once."""
    if given := os.environ.get("FUNCTIONGATE_TEST_MODEL"):
        return Path(given)
    from server.model_files.catalogue import resolve

    return Path(resolve("smollm2-135m"))
