from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import random
import threading
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from server.engine.async_engine import AsyncEngine
from server.engine.generation import Generation
from server.engine.types import FinishReason, GenerationChunk, GenerationRequest, SamplingParams, ServiceTerms
from server.errors import (
    ContextLengthError,
    EngineError,
    EngineFailedError,
    NotReadyError,
    OverloadedError,
    RequestError,
)

VOCABULARY = ByteVocabulary()
GREEDY = SamplingParams(temperature=0.0)


def never_ends(_: int) -> np.ndarray:
    row = np.zeros(262, dtype=np.float32)
    row[list(VOCABULARY.eog)] = -100.0
    return row


def request(prompt: bytes, max_tokens: int | None = 16) -> GenerationRequest:
    return GenerationRequest(tuple(prompt), GREEDY, max_tokens)


async def read(generation: Generation) -> tuple[str, GenerationChunk]:
    chunks = [chunk async for chunk in generation]
    assert [chunk.finish_reason is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return "".join(chunk.text for chunk in chunks), chunks[-1]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


async def running(runner: FakeRunner) -> None:
    await asyncio.to_thread(runner.is_running.wait, 5.0)


@pytest.fixture
async def runner() -> FakeRunner:
    return FakeRunner(n_ctx=1024, n_slots=8, favour=never_ends)


@pytest.fixture
async def engine(runner: FakeRunner) -> AsyncIterator[AsyncEngine]:
    engine = AsyncEngine(runner, VOCABULARY, n_parallel=2, n_queue=3)
    yield engine
    runner.resume()
    await engine.drain(5.0)
    engine.close()


async def test_requests_that_arrive_together_all_end_once(engine: AsyncEngine) -> None:
    answers = await asyncio.gather(*(read(engine.submit(request(bytes([65 + i]) * 9))) for i in range(5)))
    assert [last.usage.completion for _, last in answers] == [16] * 5
    assert {last.finish_reason for _, last in answers} == {FinishReason.LENGTH}
    assert engine.metrics.requests_finished == 5


async def test_text_is_the_same_whoever_else_is_served(engine: AsyncEngine) -> None:
    alone, _ = await read(engine.submit(request(b"the quick brown fox")))
    crowd = [request(b"the quick brown " + bytes([i])) for i in range(3)]
    answers = await asyncio.gather(*(read(engine.submit(one)) for one in [*crowd, request(b"the quick brown fox")]))
    assert answers[-1][0] == alone


@pytest.mark.parametrize("seed", range(5))
async def test_random_aborts_leave_memory_whole_and_others_served(engine: AsyncEngine, seed: int) -> None:
    rng = random.Random(seed)

    async def client(i: int) -> str | None:
        generation = engine.submit(request(bytes(rng.choices(range(97, 100), k=30)), max_tokens=60))
        n_wanted = rng.choice([0, 1, 3, None])
        n_read = 0
        async for chunk in generation:
            n_read += 1
            if chunk.finish_reason is not None:
                return chunk.finish_reason
            if n_wanted is not None and n_read > n_wanted:
                await generation.aclose()
                assert [chunk async for chunk in generation] == []
                return None
        raise AssertionError(f"client {i} got no terminal chunk")

    for _ in range(4):
        await asyncio.gather(*(client(i) for i in range(5)))
    assert await engine.drain(5.0)
    engine.check_integrity()
    assert engine.metrics.running == engine.metrics.waiting == 0


async def test_leaving_interrupts_a_run_that_serves_nobody_else(engine: AsyncEngine, runner: FakeRunner) -> None:
    runner.hold()
    generation = engine.submit(request(b"a" * 60))
    await running(runner)
    await generation.aclose()
    assert await engine.drain(5.0)  # the run is still held: only the interrupt ended it


async def test_leaving_does_not_interrupt_a_run_that_serves_others(engine: AsyncEngine, runner: FakeRunner) -> None:
    runner.hold()
    first, second = engine.submit(request(b"a" * 20)), engine.submit(request(b"b" * 20))
    runner.let(3)  # both prompts, and a decode between or after them
    await asyncio.to_thread(wait_for, lambda: len(runner.batches) >= 4 and runner.is_running.is_set())
    assert len(runner.batches[-1]) == 2
    await first.aclose()
    assert not runner._interrupted.is_set()
    runner.resume()
    _, last = await read(second)
    assert last.usage.completion == 16
    assert engine.metrics.requests_aborted == 1


async def test_a_cancelled_reader_aborts_its_generation(engine: AsyncEngine, runner: FakeRunner) -> None:
    runner.hold()
    generation = engine.submit(request(b"a" * 20))
    reader = asyncio.create_task(read(generation))
    await running(runner)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await engine.drain(5.0)


async def test_a_forgotten_generation_is_aborted(engine: AsyncEngine, runner: FakeRunner) -> None:
    runner.hold()
    generation = engine.submit(request(b"a" * 20))
    await running(runner)
    del generation
    gc.collect()
    assert await engine.drain(5.0)


async def test_a_full_queue_is_refused_with_an_estimate(engine: AsyncEngine, runner: FakeRunner) -> None:
    runner.hold()
    accepted = [engine.submit(request(bytes([65 + i]) * 9)) for i in range(5)]
    with pytest.raises(OverloadedError) as refusal:
        engine.submit(request(b"one too many"))
    assert refusal.value.retry_after_s >= 1
    runner.resume()
    await asyncio.gather(*(read(one) for one in accepted))
    assert engine.metrics.requests_refused == 1
    await read(engine.submit(request(b"there is room again")))


async def test_no_owner_takes_the_last_places_from_the_others(runner: FakeRunner) -> None:
    engine = AsyncEngine(runner, VOCABULARY, n_parallel=2, n_queue=10, n_owners=2)
    runner.hold()

    def accepted(owner: str) -> list[Generation]:
        taken: list[Generation] = []
        one = dataclasses.replace(request(b"a" * 9), terms=ServiceTerms(owner))
        with contextlib.suppress(OverloadedError):
            while len(taken) < 100:
                taken.append(engine.submit(one))
        with pytest.raises(OverloadedError) as refusal:
            engine.submit(one)
        assert "other keys" in refusal.value.message
        return taken

    eager = accepted("eager")
    late = accepted("late")
    assert (len(eager), len(late)) == (8, 3)
    runner.resume()
    await asyncio.gather(*(read(one) for one in (*eager, *late)))
    engine.close()


async def test_a_generation_that_is_collected_while_the_open_ones_are_counted_is_no_fault(runner: FakeRunner) -> None:
    """Garbage is collected at any moment, also in the middle of a walk over what is open."""
    engine = AsyncEngine(runner, VOCABULARY, n_parallel=2, n_queue=10, n_owners=2)
    forgotten: list[Generation] = []

    class Owner(str):
        """An owner whose comparison is such a moment."""

        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            forgotten.clear()
            return str.__eq__(self, other)

    runner.hold()
    one = dataclasses.replace(request(b"a" * 9), terms=ServiceTerms(Owner("x")))
    forgotten.extend(engine.submit(dataclasses.replace(request(b"a" * 9))) for _ in range(4))
    kept = [engine.submit(one), engine.submit(one)]
    assert not forgotten
    runner.resume()
    await asyncio.gather(*map(read, kept))
    engine.close()


async def test_what_can_never_run_is_refused_at_once(engine: AsyncEngine) -> None:
    with pytest.raises(ContextLengthError) as too_long:
        engine.submit(request(b"a" * 1024))
    assert (too_long.value.n_prompt, too_long.value.n_ctx) == (1024, 1024)
    for bad in (
        GenerationRequest(()),
        GenerationRequest((262,)),
        GenerationRequest((-1,)),
        GenerationRequest((1,), stop=("",)),
        GenerationRequest((1,), SamplingParams(logit_bias={999: 1.0})),
    ):
        with pytest.raises(RequestError):
            engine.submit(bad)


async def test_draining_finishes_what_is_open_and_refuses_the_rest(engine: AsyncEngine) -> None:
    reader = asyncio.create_task(read(engine.submit(request(b"abc"))))
    assert await engine.drain(5.0)
    with pytest.raises(NotReadyError):
        engine.submit(request(b"abc"))
    assert (await reader)[1].finish_reason is FinishReason.LENGTH


async def test_draining_gives_up_after_its_time(engine: AsyncEngine, runner: FakeRunner) -> None:
    runner.hold()
    generation = engine.submit(request(b"abc"))
    await running(runner)
    assert not await engine.drain(0.01)
    await generation.aclose()


async def test_a_failure_of_the_runner_reaches_every_open_request_and_every_later_one() -> None:
    def fail_at_third(n: int) -> None:
        if n == 3:
            raise EngineError("the machine is broken")

    engine = AsyncEngine(FakeRunner(faults=fail_at_third), VOCABULARY, n_parallel=2, n_queue=3)
    generations = [engine.submit(request(bytes([65 + i]) * 9)) for i in range(5)]
    outcomes = await asyncio.gather(*(read(one) for one in generations), return_exceptions=True)
    assert all(isinstance(outcome, EngineError) for outcome in outcomes)
    with pytest.raises(EngineError, match="the machine is broken"):
        engine.submit(request(b"abc"))
    engine.close()


async def test_a_bug_in_the_engine_leaves_nobody_waiting_and_is_told_with_its_cause(caplog) -> None:
    def bug(_: int) -> None:
        raise ZeroDivisionError("a bug")

    engine = AsyncEngine(FakeRunner(faults=bug), VOCABULARY)
    told: list[EngineError] = []
    engine.on_failure(told.append)
    with pytest.raises(EngineFailedError, match="ZeroDivisionError: a bug") as raised:
        await read(engine.submit(request(b"abc")))
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    engine.close()
    engine.on_failure(told.append)  # whoever asks later is told at once
    assert told == [raised.value, raised.value]
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info[1] is raised.value.__cause__


async def test_an_engine_that_is_closed_has_not_failed(runner: FakeRunner) -> None:
    engine = AsyncEngine(runner, VOCABULARY)
    told: list[EngineError] = []
    engine.on_failure(told.append)
    engine.close()
    engine.on_failure(told.append)
    assert told == []


async def test_closing_ends_open_requests_and_is_idempotent(runner: FakeRunner) -> None:
    engine = AsyncEngine(runner, VOCABULARY)
    runner.hold()
    generation = engine.submit(request(b"abc", max_tokens=None))
    await running(runner)
    engine.close()
    engine.close()
    assert runner.is_closed
    with pytest.raises(EngineError, match="closed"):
        await read(generation)
    with pytest.raises(NotReadyError):
        engine.submit(request(b"abc"))


def test_an_event_loop_that_is_gone_costs_only_its_own_requests() -> None:
    runner = FakeRunner(n_ctx=1024, favour=never_ends)
    engine = AsyncEngine(runner, VOCABULARY)
    kept: list[Generation] = []

    async def leave() -> None:
        runner.hold()
        kept.append(engine.submit(request(b"abc")))

    asyncio.run(leave())
    runner.resume()
    _, last = asyncio.run(_submit_and_read(engine))
    assert last.usage.completion == 16
    engine.check_integrity()
    engine.close()
    kept.clear()


async def _submit_and_read(engine: AsyncEngine) -> tuple[str, GenerationChunk]:
    return await read(engine.submit(request(b"xyz")))


async def test_grammars_are_compiled_for_the_engines_own_vocabulary(engine: AsyncEngine) -> None:
    constraint = engine.compile('start: <tool_call> ("a" | "b") </tool_call>')
    text, last = await read(engine.submit(GenerationRequest((1, 2, 3), GREEDY, constraint=constraint)))
    assert text in {"<tool_call>a</tool_call>", "<tool_call>b</tool_call>"}
    assert last.finish_reason is FinishReason.STOP


async def test_memory_that_does_not_add_up_is_noticed_when_idle(runner: FakeRunner) -> None:
    engine = AsyncEngine(runner, VOCABULARY)
    runner.length = lambda _: 7
    await read(engine.submit(request(b"abc" * 9)))
    with pytest.raises(EngineError, match="ends at 7"):
        engine.check_integrity()
    with pytest.raises(EngineError, match="ends at 7"):
        engine.submit(request(b"abc"))
    engine.close()
