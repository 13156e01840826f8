"""A server in a process of its own, for tests that ask it as its users would."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The base URL of `functiongate serve` with these arguments, on a free port; it ends with 0 when it is asked to."""
    with started([sys.executable, "-m", "server", "serve", *arguments, "--port", "0"]) as url:
        yield url


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """The base URL that a program prints once it serves. It is ended when the block ends, however that ends."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            yield _base_url(server)
        finally:
            server.terminate()
            status = server.wait(30)
        assert status == 0


def _base_url(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    lines: list[str] = []
    for line in server.stderr:
        lines.append(line)
        if found := re.search(r"http://\S+/v1", line):
            threading.Thread(target=server.stderr.read, daemon=True).start()  # never let it block on a full pipe
            return found[0]
    pytest.fail("the server did not start: " + "".join(lines))
