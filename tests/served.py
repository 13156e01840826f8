"""A server in a process of its own, for tests that ask it as its users would."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The base URL of `functiongate serve` with these arguments, on a free port; it ends with 0 when it is asked to."""
    command = [sys.executable, "-m", "server", "serve", *arguments, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        lines: list[str] = []
        for line in server.stderr:
            lines.append(line)
            if found := re.search(r"http://\S+/v1", line):
                break
        else:
            pytest.fail("the server did not start: " + "".join(lines))
        reader = threading.Thread(target=server.stderr.read, daemon=True)  # never let it block on a full pipe
        reader.start()
        yield found[0]
        server.terminate()
        assert server.wait(30) == 0
