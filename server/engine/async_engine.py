"""The engine's thread and its asyncio door.

Owns the one thread that touches the runner. Requests go in under a lock, news comes out through
`call_soon_threadsafe`, one call for each event loop and step, never blocking the thread. Every accepted request
gets exactly one terminal chunk or error, whatever fails.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import threading
import time
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING

from server.engine.engine import Engine
from server.engine.generation import Channel, Generation, post
from server.engine.sampling.constraint import GrammarCompiler
from server.engine.sampling.draft import MAX_DRAFT
from server.errors import (
    ContextLengthError,
    EngineError,
    EngineFailedError,
    NotReadyError,
    OverloadedError,
    RequestError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from server.engine.engine import Delivery
    from server.engine.generation import News
    from server.engine.kv_cache.prefix_store import PrefixStore
    from server.engine.metrics import EngineMetrics
    from server.engine.runner import Runner
    from server.engine.sampling.constraint import Constraint
    from server.engine.types import GenerationRequest
    from server.engine.vocabulary import Vocabulary

log = logging.getLogger(__name__)

MAX_RETRY_AFTER_S = 120


class AsyncEngine:
    """Continuous batching for asyncio: at most `n_parallel` requests run, `n_queue` more wait.

    Where there are several owners of requests (`n_owners`), each may hold at most twice the places that are free: alone
    two thirds of them, beside another one two fifths (dynamic thresholds, Choudhury and Hahne 1998).
    Takes over `runner` and `store` and closes them. Building it takes as long as `GrammarCompiler`; its thread starts
    at once.
    """

    def __init__(
        self,
        runner: Runner,
        vocabulary: Vocabulary,
        *,
        n_parallel: int = 4,
        n_queue: int = 64,
        n_owners: int = 1,
        n_draft: int = MAX_DRAFT,
        max_itl_s: float = 0.25,
        timeout_s: float = math.inf,
        store: PrefixStore | None = None,
        steps: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        self._runner = runner
        self._vocabulary = vocabulary
        self._compiler = GrammarCompiler(vocabulary)
        self._store = store
        self._changed = threading.Condition()
        self._engine = Engine(
            runner,
            vocabulary,
            n_parallel=n_parallel,
            n_draft=n_draft,
            max_itl_s=max_itl_s,
            timeout_s=timeout_s,
            store=store,
            steps=steps,
            now=time.monotonic,
            wake=self._wake,
        )
        self._n_parallel = n_parallel
        self._n_places = n_parallel + n_queue
        self._n_owners = n_owners
        self._arrivals: deque[Channel] = deque()
        self._open: set[Channel] = set()
        self._by_sequence: dict[int, Channel] = {}
        self._failure: EngineError | None = None
        self._failure_callbacks: list[Callable[[EngineError], None]] = []
        self._is_draining = False
        self._is_closing = False
        self._is_idle = False
        self._request_seconds = 1.0
        self._n_refused = 0
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._thread.start()

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens; its tokenizer may be called from any thread."""
        return self._vocabulary

    @property
    def n_ctx(self) -> int:
        """The longest sequence in tokens, prompt and answer together."""
        return self._runner.n_ctx

    @property
    def metrics(self) -> EngineMetrics:
        """A snapshot of the counts."""
        with self._changed:
            n_open, n_refused = len(self._open), self._n_refused
        snapshot = dataclasses.replace(self._engine.metrics)
        snapshot.running = min(snapshot.running, n_open)
        snapshot.waiting = n_open - snapshot.running
        snapshot.requests_refused = n_refused
        return snapshot

    def compile(self, lark: str) -> Constraint:
        """A constraint at its grammar's beginning; requests fork it. For any thread. Raises `GrammarError`."""
        return self._compiler.compile(lark)

    def submit(self, request: GenerationRequest) -> Generation:
        """Accept a request; must be called in a running event loop.

        Raises `RequestError` for a request that can never run, `ContextLengthError` if the prompt leaves no
        room for a token, `OverloadedError` when the queue, or its owner's part of it, is full, `NotReadyError` while
        draining, and `EngineFailedError` after the engine failed.
        """
        self._check(request)
        with self._changed:
            if self._is_draining or self._is_closing:
                raise NotReadyError("the server is shutting down and takes no more requests")
            if self._failure is not None:
                raise self._failure
            self._check_room(request.terms.owner)
            channel = Channel(request, asyncio.get_running_loop(), time.monotonic())
            self._open.add(channel)
            self._arrivals.append(channel)
            self._changed.notify_all()
        return Generation(channel, self._cancel)

    def on_failure(self, callback: Callable[[EngineError], None]) -> None:
        """Have `callback` called once, on the engine's thread, if that ends by an exception; at once if it has."""
        with self._changed:
            failure = self._failure
            if failure is None:
                self._failure_callbacks.append(callback)
        if isinstance(failure, EngineFailedError):
            callback(failure)

    def _wake(self) -> None:
        """Have the engine's thread look for work. Called on any thread."""
        with self._changed:
            self._changed.notify_all()

    def _cancel(self, channel: Channel) -> None:
        """Drop a generation; its cells are free at the next step. Called by `Generation`, from any thread."""
        with self._changed:
            self._open.discard(channel)
            if channel.sequence is not None:
                self._engine.cancel(channel.sequence)
            self._changed.notify_all()

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and wait for the open ones; False if some are left after `timeout_s` seconds."""
        with self._changed:
            self._is_draining = True
        return await asyncio.to_thread(self._wait_until_idle, timeout_s)

    def close(self) -> None:
        """Stop the thread, end open requests with an error, close the runner. May be called again."""
        with self._changed:
            self._is_closing = True
            self._runner.interrupt()
            self._changed.notify_all()
        self._thread.join()
        self._runner.close()
        if self._store is not None:
            self._store.close()

    def check_integrity(self) -> None:
        """Wait until nothing runs; raise `EngineError` unless memory and accounts agree, or if the engine failed.

        The engine checks itself whenever it becomes idle; this is for who wants to know.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_idle)
            if self._failure is not None and not self._is_closing:
                raise self._failure

    def _check_room(self, owner: str) -> None:
        n_free = self._n_places - len(self._open)
        # A copy: a generation that is collected meanwhile is cancelled at once, by this thread and under its lock.
        n_own = sum(channel.request.terms.owner == owner for channel in self._open.copy())
        if n_free <= 0:
            what = f"{len(self._open)} requests are running or waiting, which is the limit"
        elif self._n_owners > 1 and n_own >= 2 * n_free:
            what = (
                f"{n_own} requests of this API key are running or waiting; the last {n_free} places are for other keys"
            )
        else:
            return
        self._n_refused += 1
        raise OverloadedError(f"{what}; try again later", retry_after_s=self._retry_after_s())

    def _check(self, request: GenerationRequest) -> None:
        n_prompt, n_vocab = len(request.tokens), self._runner.n_vocab
        if n_prompt == 0:
            raise RequestError("the prompt is empty: at least one token is needed", param="messages")
        if n_prompt + 1 > self.n_ctx:
            raise ContextLengthError(n_prompt, self.n_ctx)
        if min(request.tokens) < 0 or max(request.tokens) >= n_vocab:
            raise RequestError(f"token ids must lie in 0 … {n_vocab - 1}")
        bias = request.sampling.logit_bias
        if bias and (min(bias) < 0 or max(bias) >= n_vocab):
            raise RequestError(f"logit_bias: token ids must lie in 0 … {n_vocab - 1}", param="logit_bias")
        if "" in request.stop:
            raise RequestError("a stop string must not be empty", param="stop")

    def _retry_after_s(self) -> int:
        waves = (len(self._open) - self._n_parallel + 1) / self._n_parallel
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(waves * self._request_seconds)))

    def _wait_until_idle(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout_s)

    def _serve(self) -> None:
        """The engine's thread."""
        try:
            while self._take_arrivals():
                if self._engine.has_work:
                    self._publish(self._engine.step())
        except Exception as error:
            log.exception("the engine has failed")
            failure = EngineFailedError(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            self._fail_all(failure)
            for callback in self._failure_callbacks:
                callback(failure)
        else:
            self._fail_all(EngineError("the engine was closed"))

    def _take_arrivals(self) -> bool:
        """Wait for work and admit what arrived; False when closing."""
        if not self._engine.has_work:
            self._engine.check_integrity()
        with self._changed:
            self._is_idle = not (self._arrivals or self._engine.has_work)
            if self._is_idle:
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_closing or self._arrivals or self._engine.has_work)
            self._is_idle = False
            if self._is_closing:
                return False
            arrivals = [channel for channel in self._arrivals if channel in self._open]
            self._arrivals.clear()
        for channel in arrivals:
            sequence = self._engine.add(channel.request)
            self._by_sequence[sequence.id] = channel
            with self._changed:
                channel.sequence = sequence
                if channel not in self._open:
                    self._engine.cancel(sequence)
        return True

    def _publish(self, deliveries: Iterable[Delivery]) -> None:
        """Hand a step's news to the event loops that wait for it."""
        by_loop: dict[asyncio.AbstractEventLoop, list[News]] = {}
        for delivery in deliveries:
            sequence_id = delivery.sequence.id
            channel = self._by_sequence[sequence_id]
            if delivery.is_last:
                del self._by_sequence[sequence_id]
                self._retire(channel, was_cancelled=delivery.item is None)
            if delivery.item is not None:
                by_loop.setdefault(channel.loop, []).append((channel, delivery.item, delivery.is_last))
        for loop, news in by_loop.items():
            if not post(loop, news):
                for channel, _, _ in news:
                    self._cancel(channel)

    def _retire(self, channel: Channel, *, was_cancelled: bool) -> None:
        seconds = time.monotonic() - channel.accepted_at
        with self._changed:
            self._open.discard(channel)
            if not was_cancelled:
                self._request_seconds += 0.2 * (seconds - self._request_seconds)
            self._changed.notify_all()

    def _fail_all(self, failure: EngineError) -> None:
        with self._changed:
            self._failure = failure
            self._is_idle = True
            channels, self._open = self._open, set()
            self._arrivals.clear()
            self._changed.notify_all()
        for channel in channels:
            post(channel.loop, [(channel, failure, True)])
