"""Continuous batching: a step is schedule, run, sample, deliver.

Knows tokens, masks and sequences. One thread owns an engine; only `cancel` is called from others. A sequence's
failure ends that sequence; a failure of the runner is raised from `step` and ends them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from server.engine.kv_cache.prefix_store import MIN_TOKENS
from server.engine.kv_cache.prefix_tree import common_prefix
from server.engine.kv_cache.residency import Residency
from server.engine.metrics import EngineMetrics
from server.engine.runner import Run, RunStatus
from server.engine.sampling.draft import MAX_DRAFT, Drafter
from server.engine.scheduling.plan import Plan, Slice
from server.engine.scheduling.scheduler import Scheduler
from server.engine.sequence import Phase, Sequence
from server.engine.types import FinishReason, GenerationChunk
from server.errors import DeadlineError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.engine.kv_cache.prefix_store import PrefixStore
    from server.engine.runner import Runner
    from server.engine.types import GenerationRequest
    from server.engine.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Delivery:
    """A sequence's news of one step: a chunk, the error that ended it, or None if it was cancelled."""

    sequence: Sequence
    item: GenerationChunk | EngineError | None
    is_last: bool


class Engine:
    """Generates for many sequences at once on one runner, drafting at most `n_draft` tokens a step for each.

    `now` gives seconds on a monotonic clock. Prompts beside running streams are evaluated in chunks of at most about
    `max_itl_s` seconds. A request fails after `timeout_s` seconds, or its own if that is less. Prefixes come from and
    go to `store`, which the caller closes; its thread calls `wake` when one has arrived that a request waits for.
    `steps` are seconds of steps by their rows, as far as they are known.
    """

    def __init__(
        self,
        runner: Runner,
        vocabulary: Vocabulary,
        *,
        n_parallel: int,
        n_draft: int = MAX_DRAFT,
        max_itl_s: float = 0.25,
        timeout_s: float = math.inf,
        store: PrefixStore | None = None,
        steps: Mapping[int, float] = MappingProxyType({}),
        now: Callable[[], float],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._runner = runner
        self._vocabulary = vocabulary
        self._eog = vocabulary.eog
        self._now = now
        self._wake = wake
        self._scheduler = Scheduler(
            Residency(runner),
            Drafter(),
            n_parallel=min(n_parallel, runner.n_slots),
            n_batch=runner.n_batch,
            n_draft=min(n_draft, max(0, runner.n_logits_max - n_parallel)),
            n_logits=runner.n_logits_max,
            n_prefixes=max(0, runner.n_slots - n_parallel),
            max_itl_s=max_itl_s,
            shares_prefixes=runner.can_share_prefix,
        )
        for n_rows, seconds in steps.items():
            self._scheduler.pace.observe(n_rows, seconds)
        self._timeout_s = timeout_s
        self._store = store if runner.can_share_prefix else None
        self.metrics = EngineMetrics()
        self._n_added = 0
        self._outbox: list[Delivery] = []
        self._lock = RLock()  # `cancel` may come from a finalizer, on any thread at any moment
        self._in_flight: frozenset[int] = frozenset()

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything. Not while all that waits, waits for a stored prefix."""
        return self._scheduler.has_work or bool(self._outbox)

    def add(self, request: GenerationRequest) -> Sequence:
        """Queue a request. What its grammar forces before the first choice becomes part of the prefill."""
        sequence = Sequence(self._n_added, request, self._runner.n_ctx, self._vocabulary)
        sequence.timeout_s = min(self._timeout_s, request.terms.timeout_s or math.inf)
        sequence.deadline = self._now() + sequence.timeout_s
        self._n_added += 1
        self.metrics.prompt_tokens += sequence.n_prompt
        if self._store is not None and not sequence.is_private:
            n_known = self._scheduler.n_known(sequence)
            sequence.stored = self._store.fetch(sequence.tokens[:-1], n_known + MIN_TOKENS, self._wake)
        self._scheduler.add(sequence)
        if sequence.max_tokens <= 0:
            self._finish(sequence, FinishReason.LENGTH)
        else:
            try:
                self._append_forced(sequence)
            except EngineError as error:
                self._fail(sequence, error)
        return sequence

    def cancel(self, sequence: Sequence) -> None:
        """Ask for a sequence to be dropped without news. Callable from any thread.

        The current evaluation is stopped at once if it serves this sequence alone.
        """
        with self._lock:
            sequence.is_cancelled = True
            if self._in_flight == {sequence.id}:
                self._runner.interrupt()

    def step(self) -> list[Delivery]:
        """Advance every running sequence by one evaluation; return the news. Raises `EngineError` for all."""
        self._drop_cancelled()
        self._drop_late()
        plan = self._scheduler.schedule()
        if plan.slices and self._run(plan):
            self._sample(plan)
        return self._deliver()

    def check_integrity(self) -> None:
        """Raise `EngineError` unless memory holds exactly what the sequences account for. Between steps only."""
        self._scheduler.check()

    def _drop_cancelled(self) -> None:
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            if sequence.is_cancelled:
                self._scheduler.end(sequence)
                self.metrics.requests_aborted += 1
                self._outbox.append(Delivery(sequence, None, is_last=True))

    def _drop_late(self) -> None:
        now = self._now()
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            if sequence.deadline <= now:
                self._fail(sequence, DeadlineError(sequence.timeout_s))

    def _store_prefixes(self, plan: Plan) -> None:
        """Save the prefixes that were computed in this step and are not saved yet."""
        for planned in plan.slices if self._store is not None else ():
            sequence, n = planned.sequence, planned.sequence.n_prefix
            if (
                self._store is None
                or not planned.start < n <= planned.stop
                or not self._store.lacks(sequence.tokens[:n])
            ):
                continue
            state = self._scheduler.export_prefix(sequence, n)
            if state is not None:
                self._store.save(sequence.tokens[:n], state, sequence.terms.cache_key)
                self.metrics.stored_tokens += n

    def _run(self, plan: Plan) -> bool:
        """Evaluate a plan; whether it was, and logits are ready."""
        runs = [_run(planned) for planned in plan.slices]
        started = self._now()
        status = self._evaluate(plan, runs)
        if status is RunStatus.OK:
            self._count(plan, self._now() - started)
            self._scheduler.complete(plan)
            self._store_prefixes(plan)
            return True
        self._scheduler.roll_back(plan)
        if status is RunStatus.NO_MEMORY and not self._scheduler.relieve():
            for planned in plan.slices:
                self._fail(planned.sequence, EngineError("the model's memory cannot hold this sequence"))
        return False

    def _evaluate(self, plan: Plan, runs: list[Run]) -> RunStatus:
        with self._lock:
            if all(planned.sequence.is_cancelled for planned in plan.slices):
                return RunStatus.INTERRUPTED
            self._runner.clear_interrupt()
            self._in_flight = frozenset(planned.sequence.id for planned in plan.slices)
        try:
            return self._runner.run(runs)
        finally:
            with self._lock:
                self._in_flight = frozenset()

    def _sample(self, plan: Plan) -> None:
        row = 0
        for planned in plan.slices:
            n_logits, first = planned.n_logits, row
            if planned.sequence.weighs:
                self._weigh(planned, row)
                first += n_logits - 1
            if planned.reaches_end:
                planned.sequence.phase = Phase.DECODING
                self._follow(planned, first)
            row += n_logits

    def _weigh(self, planned: Slice, first_row: int) -> None:
        """Weigh the prompt's tokens that follow those of a slice."""
        prompt = planned.sequence.weighed_prompt
        assert prompt is not None, "its sequence weighs"
        for position in range(planned.start, planned.stop):
            prompt.weigh(position, self._runner.logits(first_row + position - planned.start))

    def _follow(self, planned: Slice, first_row: int) -> None:
        """Advance one sequence by a token, and by one more for each token of its draft that came true."""
        sequence, n_accepted = planned.sequence, 0
        try:
            while True:
                self._advance(sequence, first_row + n_accepted)
                n_new = sequence.n_tokens - planned.stop
                came_true = common_prefix(planned.draft, sequence.tokens[planned.stop :])
                if sequence.phase is Phase.ENDED or came_true < n_new or n_new > len(planned.draft):
                    break
                n_accepted = n_new
        except EngineError as error:
            self._fail(sequence, error)
            return
        if len(planned.draft):
            self.metrics.drafted_tokens += len(planned.draft)
            self.metrics.accepted_tokens += came_true
            self._scheduler.accept_draft(planned, came_true)

    def _advance(self, sequence: Sequence, row: int) -> None:
        token = sequence.choose(self._runner.logits(row))
        if sequence.constraint is not None and token not in self._eog:
            sequence.constraint.accept(token)
        if self._append(sequence, [token]):
            self._finish(sequence, FinishReason.STOP)
        else:
            self._append_forced(sequence)

    def _append_forced(self, sequence: Sequence) -> None:
        """Append what the grammar leaves no choice about; end the sequence if nothing more may follow."""
        constraint = sequence.constraint
        run = [] if constraint is None else constraint.forced()
        fitting = run[: sequence.n_left]
        before = sequence.n_generated
        has_ended = self._append(sequence, fitting)
        sequence.n_forced += sequence.n_generated - before
        is_complete = constraint is not None and constraint.is_finished and fitting == run
        if has_ended or is_complete:
            self._finish(sequence, FinishReason.STOP)
        elif sequence.n_left <= 0:
            self._finish(sequence, FinishReason.LENGTH)

    def _append(self, sequence: Sequence, tokens: list[int]) -> bool:
        """Append tokens and their text up to an end token or a stop string; True if there was one."""
        for i, token in enumerate(tokens):
            is_end = token in self._eog
            sequence.feed(token, is_end=is_end)
            if is_end or sequence.detokenizer.is_stopped:
                sequence.append(tokens[: i + 1])
                return True
        sequence.append(tokens)
        return False

    def _fail(self, sequence: Sequence, error: EngineError) -> None:
        """End one sequence by its own failure."""
        self._scheduler.end(sequence)
        self.metrics.requests_failed += 1
        self._outbox.append(Delivery(sequence, error, is_last=True))

    def _finish(self, sequence: Sequence, reason: FinishReason) -> None:
        self._scheduler.end(sequence)
        sequence.pieces.append(sequence.detokenizer.finish())
        usage = sequence.usage
        self.metrics.requests_finished += 1
        self.metrics.cached_tokens += usage.cached
        self.metrics.completion_tokens += usage.completion
        self.metrics.forced_tokens += usage.forced
        self.metrics.decode_steps += usage.decode_steps
        stop = sequence.detokenizer.stopped_by
        prompt, choices = sequence.take_prompt(), sequence.take_choices()
        chunk = GenerationChunk(sequence.take_text(), reason, usage, choices, prompt, stop)
        self._outbox.append(Delivery(sequence, chunk, is_last=True))

    def _deliver(self) -> list[Delivery]:
        for sequence in self._scheduler.running:
            if text := sequence.take_text():
                prompt, choices = sequence.take_prompt(), sequence.take_choices()
                chunk = GenerationChunk(text, usage=sequence.usage, choices=choices, prompt=prompt)
                self._outbox.append(Delivery(sequence, chunk, is_last=False))
        self.metrics.running = len(self._scheduler.running)
        self.metrics.waiting = len(self._scheduler.waiting)
        self.metrics.restored_tokens = self._scheduler.n_restored
        self.metrics.prefix_nodes = len(self._scheduler.prefixes)
        self.metrics.prefix_tokens = self._scheduler.prefixes.n_tokens
        news, self._outbox = self._outbox, []
        return news

    def _count(self, plan: Plan, seconds: float) -> None:
        """Split a step's time between prefill and decode by tokens, and teach the scheduler the speed."""
        n_prefill = sum(planned.n_tokens for planned in plan.slices if planned.sequence.phase is Phase.PREFILLING)
        n_all = sum(planned.n_tokens for planned in plan.slices)
        metrics = self.metrics
        metrics.evaluations += 1
        metrics.prefill_tokens += n_prefill
        metrics.prefill_seconds += seconds * n_prefill / n_all
        metrics.decode_seconds += seconds * (n_all - n_prefill) / n_all
        if len(plan.slices) == 1:  # rows of several sequences cost more each
            self._scheduler.pace.observe(n_all, seconds)


def _run(planned: Slice) -> Run:
    slot, tokens = planned.sequence.slot, planned.sequence.tokens[planned.start : planned.stop]
    assert slot is not None, "a planned sequence has a slot"
    if len(planned.draft):
        tokens = np.concatenate([tokens, planned.draft])
    return Run(slot, planned.start, tokens, planned.n_logits)
