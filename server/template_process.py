"""Renders untrusted templates in a process of their own; the server's side of `server.template_worker`.

Thread-safe: one template runs at a time. The law: whatever a template does, the caller has its prompt or a
`TemplateFileError`, and the next caller a working process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from chat_templates import TemplateFileError, TemplateRequestError
from chat_templates.render import NO_KWARGS
from server.template_worker import CPU_SECONDS, frame, read_frame

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

# The limit is processor time; this is for a process that gets none, on a machine that swaps for example.
WALL_SECONDS = 20.0

# What an interpreter may need to start. Nothing else of the environment: it may hold keys.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME")


class TemplateProcess:
    """Starts its process when it is first needed, and again after one was lost. Close it with `close`."""

    def __init__(self, *, wall_seconds: float = WALL_SECONDS) -> None:
        self._wall_seconds = wall_seconds
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(
        self, source: str, variables: Mapping[str, Any], *, today: date, template_kwargs: Mapping[str, Any] = NO_KWARGS
    ) -> str:
        """As `chat_templates.render.render_template`, within limits of time, memory and length.

        Raises `TemplateFileError` when the template fails or exceeds one of them, and `TemplateRequestError` for
        `template_kwargs` that it does not read.
        """
        given = {"variables": dict(variables), "template_kwargs": dict(template_kwargs)}
        request = frame({"source": source, "today": today.isoformat(), **given})
        with self._lock:
            reply = self._ask(request)
        if "param" in reply:
            raise TemplateRequestError(reply["error"], param=reply["param"])
        if "error" in reply:
            raise TemplateFileError(reply["error"])
        prompt: str = reply["prompt"]
        return prompt

    def close(self) -> None:
        """End the process. A later `render` starts another."""
        with self._lock:
            self._end()

    def _ask(self, request: bytes) -> Any:
        if self._process is not None and self._process.poll() is not None:
            self._end()  # it was lost between two requests: nobody's template did it
        process = self._process or self._start()
        assert process.stdin is not None, "opened as a pipe"
        try:
            process.stdin.write(request)
            process.stdin.flush()
            return read_frame(_Reader(process, self._wall_seconds).read)
        except TimeoutError as error:
            self._end()
            raise TemplateFileError(f"The chat template gave no prompt within {self._wall_seconds:g} s.") from error
        except (EOFError, OSError) as error:
            raise TemplateFileError(self._loss()) from error

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "server.template_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C stops the server, which lets running requests end
        )
        return self._process

    def _loss(self) -> str:
        code = self._end()
        if code == -signal.SIGPROF:
            return f"The chat template takes more than {CPU_SECONDS:g} s of processor time on this conversation."
        return f"The chat template brought its process down (exit code {code})."

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None, "opened as a pipe"
        assert process.stdout is not None, "opened as a pipe"
        with contextlib.suppress(OSError):  # what a dead process was not told
            process.stdin.close()
        process.stdout.close()
        try:
            return process.wait(0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


class _Reader:
    """Exact reads from a process, until the time of one request is over."""

    def __init__(self, process: subprocess.Popen[bytes], wall_seconds: float) -> None:
        assert process.stdout is not None, "opened as a pipe"
        self._fd = process.stdout.fileno()
        self._end = time.monotonic() + wall_seconds
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def read(self, n_bytes: int) -> bytes:
        data = bytearray()
        while len(data) < n_bytes:
            left_s = self._end - time.monotonic()
            if left_s <= 0 or not self._poll.poll(left_s * 1000):
                raise TimeoutError
            part = os.read(self._fd, min(n_bytes - len(data), 1 << 16))
            if not part:
                raise EOFError
            data += part
        return bytes(data)
