"""A plugin of the pytest that runs llama.cpp's server tests: a server is kept for the next test that starts the same.

Knows how the tests start and stop a server: `subprocess.Popen` and the methods of what it gives; nothing of flags. The
law: a server is used again only for exactly the same command and environment, one runs at a time, and none outlives the
session. Several hundred tests start some thirty different servers.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

STOP_S = 40  # a server that drains has thirty seconds


class Kept:
    """A started server in the shape of its process, for a test that believes to have started and to stop it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended by itself, None while it runs."""
        return self._process.returncode

    def poll(self) -> int | None:
        """The same, asked anew."""
        return self._process.poll()

    def terminate(self) -> None:
        """Nothing: it is kept."""

    kill = terminate

    def wait(self, timeout: float | None = None) -> int:
        """As if it had ended well."""
        del timeout
        return 0


class Keeper:
    """Starts servers as `subprocess.Popen` does, and the last one again only where it is another."""

    def __init__(self) -> None:
        self._command: object = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str], **options: Any) -> Kept:
        """A server that was started by this command."""
        asked = (command, options.get("env"), options.get("cwd"))
        if self._process is None or self._process.poll() is not None or asked != self._command:
            self.stop()
            self._process = subprocess.Popen(command, **options)
            self._command = asked
        return Kept(self._process)

    def stop(self) -> None:
        """End the server that is kept, if there is one."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(STOP_S)
        self._process = None


class _Popen:
    """What the tests see as the module `subprocess`."""

    def __init__(self, keeper: Keeper) -> None:
        self.Popen = keeper.start

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


KEEPER = Keeper()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the tests' servers started by the keeper."""
    del session
    import utils  # the tests' own, on the path since they were collected

    utils.subprocess = _Popen(KEEPER)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the last one."""
    del session
    KEEPER.stop()
