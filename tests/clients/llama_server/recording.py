"""A plugin of the pytest that runs llama.cpp's server tests: it notes what became of each, and why.

Knows pytest's reports, and the one fixture that it takes away; nothing of the ratchet. The law: what is written is what
pytest says, one test a line, so that a run that is cut off keeps what it has.

Their session begins by starting a server for every model, so that all are downloaded. Here others are served in their
stead, which are there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

TOLD = 20_000  # characters of what a test printed at most


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take away the download of models."""
    del session
    import utils  # the tests' own, on the path since they were collected

    utils.ServerPreset.load_all = staticmethod(lambda: None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Write the outcome of a test where it is decided: in its call, or before it where it does not come to that."""
    report = yield
    if report.when == "call" or (report.when == "setup" and not report.passed):
        told = f"{report.longreprtext}\n{report.capstdout}\n{report.capstderr}"
        line = {"id": item.nodeid.removeprefix("unit/"), "outcome": report.outcome, "told": told[-TOLD:]}
        with Path(os.environ["FUNCTIONGATE_LLAMA_RECORD"]).open("a", encoding="utf-8") as record:
            record.write(json.dumps(line) + "\n")
    return report
