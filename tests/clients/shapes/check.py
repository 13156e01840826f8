"""What a script of shapes prints: what it tried with its client, and what came."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version

URL = sys.argv[1]
MODEL = "any"
ASKED = "What's the weather in Paris?"

_tried: dict[str, str] = {}


def tried(name: str, attempt: Callable[[], bool]) -> None:
    """Try something with the client. False, or an exception, is a failure: the others are tried all the same."""
    try:
        _tried[name] = "ok" if attempt() else "another answer"
    except Exception:  # noqa: BLE001  a client's failure is the finding
        _tried[name] = traceback.format_exc(limit=-2)


def report(*packages: str) -> None:
    """Print what was tried, and the packages' versions, as JSON for the test to read."""
    versions = {package: version(package) for package in packages}
    print(json.dumps({"tried": _tried, "versions": versions}))  # noqa: T201  it is the script's output
