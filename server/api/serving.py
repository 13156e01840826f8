"""Runs the application: a bound socket first, the model in a thread of its own, an orderly end.

Knows the web server, signals and the event loop. The caller says what to load.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import uvicorn

from server.errors import EngineError, StartupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from fastapi import FastAPI

    from server.api.state import ServingState


class Servable(Protocol):
    """What is loaded, may fail, and is given back."""

    def on_failure(self, callback: Callable[[EngineError], None]) -> None:
        """Have `callback` called, on whatever thread, when nothing can be served any more."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


Loaded = TypeVar("Loaded", bound=Servable)

KEEP_ALIVE_S = 65  # longer than the 60 s after which proxies drop idle connections: the proxy closes first
BACKLOG = 2048
# After a failure: long enough for probes and balancers to read a 503 and for open answers to end with the error.
FAILED_GRACE_S = 3.0


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises `StartupError` if the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartupError(f"cannot listen on host {host!r}: {error.strerror} (choose another with --host)") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartupError(
            f"cannot listen on {host}:{port}: {error.strerror} (choose another with --port or --host)"
        ) from error
    return listener


async def serve(
    app: FastAPI,
    state: ServingState,
    listener: socket.socket,
    load: Callable[[], Loaded],
    ready: Callable[[Loaded], None],
    *,
    drain_timeout_s: float,
    has_access_log: bool,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish the running requests, at most `drain_timeout_s` seconds.

    `load` runs in a thread meanwhile and `ready` on the event loop after it. What was loaded may fail: `state` says so,
    and the server ends `FAILED_GRACE_S` seconds later. Raises what `load` raises, and that failure. Closes what was
    loaded.
    """
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=has_access_log,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, math.ceil(drain_timeout_s)),
        ),
        state,
    )
    loading = _Loading(load, ready, server, state)
    loading.start()
    await server.serve(sockets=[listener])
    loading.finish()


class _Loading(Generic[Loaded]):
    """A load in a thread. Daemonic: a server that is told to stop does not wait for a download."""

    def __init__(
        self, load: Callable[[], Loaded], ready: Callable[[Loaded], None], server: _Server, state: ServingState
    ) -> None:
        self._state = state
        self._load = load
        self._ready = ready
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._loaded: Loaded | None = None
        self._failure: BaseException | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="load", daemon=True).start()

    def finish(self) -> None:
        """Close what was loaded; raise what went wrong."""
        if self._loaded is not None:
            self._loaded.close()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            loaded = self._load()
        except BaseException as error:  # noqa: BLE001 -- raised again by `finish`, on the main thread
            self._post(self._fail, error)
        else:
            self._post(self._succeed, loaded)

    def _post(self, callback: Callable[..., None], argument: object) -> None:
        # The loop is closed if the server was stopped meanwhile; the process is about to end then.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, argument)

    def _succeed(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._ready(loaded)
        loaded.on_failure(lambda failure: self._post(self._die, failure))

    def _die(self, failure: EngineError) -> None:
        self._state.fail(failure)
        self._loop.call_later(FAILED_GRACE_S, self._fail, failure)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals drain and do not kill: a stop that was asked for exits with 0."""

    def __init__(self, config: uvicorn.Config, state: ServingState) -> None:
        super().__init__(config)
        self._state = state

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._state.drain()
        super().handle_exit(sig, frame)
