from __future__ import annotations

import dataclasses
import itertools
import random
from dataclasses import dataclass

import numpy as np
import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.engine import Engine
from server.engine.runner import RunStatus
from server.engine.sampling.constraint import GrammarCompiler
from server.engine.types import (
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    GenerationUsage,
    SamplingParams,
    ServiceTerms,
)
from server.errors import DeadlineError, EngineError

VOCABULARY = ByteVocabulary()
COMPILER = GrammarCompiler(VOCABULARY)
GREEDY = SamplingParams(temperature=0.0)


def never_ends(_: int) -> np.ndarray:
    row = np.zeros(262, dtype=np.float32)
    row[list(VOCABULARY.eog)] = -100.0
    return row


TOOLS = b"You have these tools: add(n), sub(n). Answer with a call. " * 2
CALL = """
start: <tool_call> "\\n" call "\\n" </tool_call>
call: %json {
  "type": "object",
  "properties": {"name": {"enum": ["add", "sub"]}, "n": {"type": "integer", "minimum": 0, "maximum": 999}},
  "required": ["name", "n"], "additionalProperties": false,
  "x-guidance": {"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "}
}
"""


@dataclass
class Answer:
    text: str = ""
    reason: FinishReason | None = None
    stop: str | None = None
    usage: GenerationUsage | None = None
    error: EngineError | None = None
    n_terminal: int = 0


def request(
    prompt: bytes,
    *,
    max_tokens: int | None = 24,
    sampling: SamplingParams = GREEDY,
    stop: tuple[str, ...] = (),
    lark: str | None = None,
) -> GenerationRequest:
    constraint = None if lark is None else COMPILER.compile(lark)
    return GenerationRequest(tuple(prompt), sampling, max_tokens, stop, constraint)


def make_engine(runner: FakeRunner, n_parallel: int = 4) -> Engine:
    clock = itertools.count()
    return Engine(runner, VOCABULARY, n_parallel=n_parallel, now=lambda: next(clock) * 0.05)


def take(answers: dict[int, Answer], deliveries: list) -> None:
    for delivery in deliveries:
        answer = answers.setdefault(delivery.sequence.id, Answer())
        assert answer.n_terminal == 0, "nothing follows the end"
        answer.n_terminal += delivery.is_last
        if isinstance(delivery.item, GenerationChunk):
            assert delivery.is_last == (delivery.item.finish_reason is not None)
            assert answer.usage is None or answer.usage.completion <= delivery.item.usage.completion
            answer.text += delivery.item.text
            answer.reason, answer.usage = delivery.item.finish_reason, delivery.item.usage
            answer.stop = delivery.item.stop
        else:
            answer.error = delivery.item


def run(
    engine: Engine,
    requests: list[GenerationRequest],
    *,
    arrivals: list[int] | None = None,
    cancels: dict[int, int] | None = None,
    limit: int = 20_000,
) -> list[Answer]:
    """Answers in order; request i is added before step `arrivals[i]` and cancelled before step `cancels[i]`."""
    arrivals = arrivals or [0] * len(requests)
    cancels = cancels or {}
    answers: dict[int, Answer] = {}
    sequences: dict[int, object] = {}
    for step in range(limit):
        for i, at in enumerate(arrivals):
            if at == step:
                sequences[i] = engine.add(requests[i])
        for i, at in cancels.items():
            if at == step and i in sequences:
                engine.cancel(sequences[i])
        take(answers, engine.step())
        engine.check_integrity()
        if len(sequences) == len(requests) and not engine.has_work:
            return [answers[sequences[i].id] for i in range(len(requests))]
    raise AssertionError("the engine does not come to an end")


def alone(one: GenerationRequest, **options: object) -> Answer:
    return run(make_engine(FakeRunner(**options)), [one])[0]


prompts = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.binary(min_size=1, max_size=12).map(lambda tail: TOOLS[:90] + tail),
)
recipes = st.lists(st.tuples(prompts, st.integers(0, 40), st.booleans(), st.integers(0, 12)), min_size=1, max_size=7)


def requests_of(drawn: list) -> list[GenerationRequest]:
    return [
        request(prompt, max_tokens=n, lark=CALL if is_call else None, sampling=GREEDY)
        for prompt, n, is_call, _ in drawn
    ]


@settings(deadline=None, max_examples=60)
@given(
    recipes,
    st.dictionaries(st.integers(0, 6), st.integers(0, 30), max_size=3),
    st.sampled_from([160, 256, 1024]),
    st.integers(1, 4),
)
def test_company_never_changes_a_greedy_answer(
    drawn: list, cancels: dict[int, int], n_ctx: int, n_parallel: int
) -> None:
    """Any prompts, arrivals, aborts, memory sizes: sharing, eviction and preemption stay invisible."""
    arrivals = [at for *_, at in drawn]
    together = run(
        make_engine(FakeRunner(n_ctx=n_ctx), n_parallel),
        requests_of(drawn),
        arrivals=arrivals,
        cancels=cancels,
    )
    for i, (answer, one) in enumerate(zip(together, requests_of(drawn), strict=True)):
        expected = alone(one, n_ctx=n_ctx)
        assert answer.n_terminal == 1
        assert answer.error is None
        if i in cancels and answer.reason is None:
            assert expected.text.startswith(answer.text)
        else:
            assert (answer.text, answer.reason) == (expected.text, expected.reason)
            assert answer.usage.completion == expected.usage.completion


@settings(deadline=None, max_examples=25)
@given(recipes, st.integers(0, 2**31), st.booleans(), st.booleans())
def test_interruptions_and_full_memory_change_no_answer(
    drawn: list, seed: int, can_trim: bool, can_share: bool
) -> None:
    rng = random.Random(seed)
    faults = [rng.choice([None, None, None, RunStatus.INTERRUPTED]) for _ in range(5000)]
    runner = FakeRunner(can_trim=can_trim, can_share_prefix=can_share, faults=lambda n: faults[n])
    for answer, one in zip(run(make_engine(runner), requests_of(drawn)), requests_of(drawn), strict=True):
        assert answer.text == alone(one).text


def test_memory_that_the_runner_refuses_is_freed_from_idle_prefixes_and_the_youngest() -> None:
    refusals = {6, 7}
    runner = FakeRunner(faults=lambda n: RunStatus.NO_MEMORY if n in refusals else None)
    requests = [request(bytes([65 + i]) * 20) for i in range(3)]
    answers = run(make_engine(runner), requests)
    assert [a.text for a in answers] == [alone(one).text for one in requests]


def test_a_lone_sequence_that_the_runner_cannot_hold_fails_by_itself() -> None:
    engine = make_engine(FakeRunner(faults=lambda _: RunStatus.NO_MEMORY))
    answers = run(engine, [request(b"abc"), request(b"def")])
    assert all(isinstance(a.error, EngineError) for a in answers)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 1.0]))
def test_forced_runs_give_the_tokens_of_decoding_one_by_one(seed: int, temperature: float) -> None:
    """The same grammar with forcing switched off is the oracle."""
    sampling = SamplingParams(temperature=temperature, seed=seed)
    prompt = TOOLS + str(seed).encode()
    if temperature:
        # a masked draw of a forced token consumes a random number: only greedy answers are comparable
        sampling = SamplingParams(temperature=0.0)
    jumped = alone(request(prompt, max_tokens=80, lark=CALL, sampling=sampling))
    stepped = alone(
        request(prompt, max_tokens=80, lark='%llguidance { "no_forcing": true }\n' + CALL, sampling=sampling)
    )
    assert jumped.text == stepped.text
    assert jumped.usage.completion == stepped.usage.completion
    assert stepped.usage.forced == 0
    assert jumped.usage.decode_steps <= 0.5 * jumped.usage.completion
    assert jumped.usage.decode_steps <= jumped.usage.completion - jumped.usage.forced


def test_the_last_forced_run_is_delivered_and_never_decoded() -> None:
    runner = FakeRunner()
    answer = run(make_engine(runner), [request(b"x", lark='start: ("a" | "b") "cdefgh"')])[0]
    assert answer.text[1:] == "cdefgh"
    assert answer.reason is FinishReason.STOP
    assert len(runner.batches) == 1
    assert answer.usage == GenerationUsage(prompt=1, cached=0, completion=7, forced=6, decode_steps=0)


def test_a_grammar_without_choices_needs_no_model() -> None:
    runner = FakeRunner()
    answer = run(make_engine(runner), [request(b"x", lark='start: <tool_call> "ok" </tool_call>')])[0]
    assert answer.text == "<tool_call>ok</tool_call>"
    assert runner.batches == []


@pytest.mark.parametrize("max_tokens", range(12))
def test_max_tokens_cuts_forced_runs_too(max_tokens: int) -> None:
    one = request(b"x", max_tokens=max_tokens, lark='start: "abc" ("d" | "e") "fghi"')
    answer = alone(one)
    full = "abc" + answer.text[3:4] + "fghi"
    assert answer.text == full[:max_tokens]
    assert answer.reason is (FinishReason.STOP if max_tokens >= 8 else FinishReason.LENGTH)


def test_a_stop_string_ends_an_answer_in_the_middle_of_a_forced_run() -> None:
    answer = alone(request(b"x", stop=("gh",), lark='start: ("a" | "b") "cdefghij"'))
    assert answer.text[1:] == "cdef"
    assert (answer.reason, answer.stop) == (FinishReason.STOP, "gh")
    assert answer.usage.completion == 7


def test_an_end_token_is_counted_and_is_not_text() -> None:
    one_hot = np.zeros(262, dtype=np.float32)
    one_hot[VOCABULARY.eos] = 100.0
    answer = alone(request(b"x"), favour=lambda _: one_hot)
    assert (answer.text, answer.reason) == ("", FinishReason.STOP)
    assert answer.usage.completion == 1


def test_the_context_is_the_last_limit() -> None:
    never = np.zeros(262, dtype=np.float32)
    never[list(VOCABULARY.eog)] = -100.0
    answer = alone(request(b"x" * 30, max_tokens=None), n_ctx=64, favour=lambda _: never)
    assert answer.reason is FinishReason.LENGTH
    assert answer.usage.completion == 34


def test_one_tools_prompt_is_prefilled_once_for_all_who_arrive_together() -> None:
    runner = FakeRunner(n_ctx=1024, n_batch=64, n_slots=8)
    requests = [request(TOOLS + bytes([97 + i]) * 3, max_tokens=4) for i in range(4)]
    answers = run(make_engine(runner), requests)
    n_evaluated = sum(len(piece.tokens) for batch in runner.batches for piece in batch)
    assert n_evaluated <= len(TOOLS) + 4 * (3 + 4)
    assert [a.usage.cached for a in answers] == [0, *[len(TOOLS)] * 3]
    ends = [batch for batch in runner.batches if all(len(piece.tokens) == 3 for piece in batch)]
    assert [len(batch) for batch in ends] == [3], "the ends of the waiting prompts are evaluated together"


def test_a_single_flight_whose_source_dies_is_prefilled_by_the_next_one() -> None:
    runner = FakeRunner(n_ctx=1024, n_batch=64, n_slots=8)
    engine = make_engine(runner)
    requests = [request(TOOLS + bytes([97 + i]) * 3, max_tokens=4) for i in range(3)]
    answers = run(engine, requests, cancels={0: 1})
    assert [a.text for a in answers[1:]] == [alone(one).text for one in requests[1:]]
    assert answers[1].usage.cached == 119 - 64  # the first chunk leaves a whole one for the next


def test_an_idle_prefix_serves_the_next_turn_of_a_chat() -> None:
    runner = FakeRunner(n_ctx=1024)
    engine = make_engine(runner)
    first = run(engine, [request(TOOLS)])[0]
    turn = TOOLS + first.text.encode()[:5]
    second = run(engine, [request(turn)])[0]
    assert second.text == alone(request(turn)).text
    assert second.usage.cached >= len(TOOLS)


def test_more_idle_prefixes_than_slots_evict_the_least_recently_used() -> None:
    runner = FakeRunner(n_ctx=1024, n_slots=4)
    engine = make_engine(runner, n_parallel=2)
    texts = [bytes([65 + i]) * 30 for i in range(6)]
    for text in texts:
        run(engine, [request(text, max_tokens=2)])
    recent, oldest = run(engine, [request(texts[-1], max_tokens=2), request(texts[0], max_tokens=2)])
    assert recent.usage.cached == 29
    assert oldest.usage.cached == 0


def test_a_preempted_sequence_goes_on_where_it_was() -> None:
    runner = FakeRunner(n_ctx=200)
    never = np.zeros(262, dtype=np.float32)
    never[list(VOCABULARY.eog)] = -100.0
    runner._favour = lambda _: never
    requests = [request(bytes([65 + i]) * 30, max_tokens=100) for i in range(3)]
    answers = run(make_engine(runner), requests)
    for answer, one in zip(answers, requests, strict=True):
        assert answer.text == alone(one, n_ctx=200, favour=lambda _: never).text
        assert answer.usage.completion == 100
    n_first = sum(len(piece.tokens) for batch in runner.batches for piece in batch)
    assert n_first > 3 * 130, "memory for 200 tokens cannot hold three of 130 without evaluating some again"


def test_the_failure_of_one_grammar_is_only_its_own() -> None:
    good, bad = request(b"abc"), request(b"def", lark='start: /[a-z]*/ "x" /[0-9]+/')
    bad.constraint._matcher.consume_token(0)  # as a limit met on the way would leave it
    answers = run(make_engine(FakeRunner()), [good, bad])
    assert answers[0].text == alone(good).text
    assert isinstance(answers[1].error, EngineError)


def test_a_request_may_be_submitted_again_with_the_same_constraint() -> None:
    one = request(b"abc", lark=CALL, max_tokens=60)
    engine = make_engine(FakeRunner())
    first, second = run(engine, [one]) + run(engine, [one])
    assert first.text == second.text != ""


def test_a_failing_runner_raises_from_step() -> None:
    def fail(_: int) -> None:
        raise EngineError("broken")

    engine = make_engine(FakeRunner(faults=fail))
    engine.add(request(b"abc"))
    with pytest.raises(EngineError, match="broken"):
        engine.step()


@pytest.mark.parametrize("n_ctx", [128, 512])
def test_the_same_seed_gives_the_same_text_in_any_company(n_ctx: int) -> None:
    sampling = SamplingParams(temperature=1.0, top_p=0.9, seed=11)
    one = request(TOOLS[:50], sampling=sampling)
    crowd = [request(TOOLS[:50] + bytes([i]) * 9) for i in range(3)]
    assert run(make_engine(FakeRunner(n_ctx=n_ctx)), [*crowd, one])[-1].text == alone(one).text


def test_the_counts_add_up() -> None:
    engine = make_engine(FakeRunner())
    answers = run(engine, [request(b"abc" * 9, lark=CALL, max_tokens=90), request(b"xyz"), request(b"abc" * 9)])
    metrics = engine.metrics
    usages = [answer.usage for answer in answers]
    assert metrics.requests_finished == 3
    assert metrics.prompt_tokens == sum(usage.prompt for usage in usages)
    assert metrics.completion_tokens == sum(usage.completion for usage in usages)
    assert metrics.forced_tokens == sum(usage.forced for usage in usages)
    assert metrics.cached_tokens == sum(usage.cached for usage in usages)
    assert (metrics.running, metrics.waiting) == (0, 0)
    assert metrics.evaluations == len(engine._runner.batches)


def test_a_request_that_takes_too_long_fails_by_itself() -> None:
    patient, late = (
        request(b"abc" * 9),
        dataclasses.replace(request(b"xyz" * 9, max_tokens=200), terms=ServiceTerms(timeout_s=0.3)),
    )
    runner = FakeRunner(n_ctx=1024, favour=never_ends)
    answers = run(make_engine(runner), [patient, late])
    assert answers[0].error is None
    assert isinstance(answers[1].error, DeadlineError)
    assert "0.3 seconds" in answers[1].error.message


def test_one_that_still_waits_when_its_time_is_over_fails_too() -> None:
    engine = make_engine(FakeRunner(n_ctx=1024, favour=never_ends), n_parallel=1)
    late = dataclasses.replace(request(b"xyz"), terms=ServiceTerms(timeout_s=0.3))
    answers = run(engine, [request(b"abc", max_tokens=100), late])
    assert isinstance(answers[1].error, DeadlineError)
    assert answers[1].text == ""


def test_owners_take_turns_however_much_one_of_them_asks() -> None:
    ends: list[str] = []
    engine = make_engine(FakeRunner(n_ctx=1024, favour=never_ends), n_parallel=2)
    sequences = [
        engine.add(dataclasses.replace(request(bytes([65 + i]) * 9, max_tokens=8), terms=ServiceTerms(owner=owner)))
        for i, owner in enumerate(["many"] * 6 + ["few"] * 2)
    ]
    while engine.has_work:
        ends += [delivery.sequence.terms.owner for delivery in engine.step() if delivery.is_last]
    assert len(ends) == len(sequences)
    assert sorted(ends[:4]) == ["few", "few", "many", "many"] or "few" in ends[:3]
    assert ends[4:].count("few") == 0


def test_a_stream_waits_no_longer_for_another_prompt_than_it_was_promised() -> None:
    """A clock that charges ten milliseconds a row: chunks must be found that keep the promise."""
    seconds = 0.0
    runner = FakeRunner(n_ctx=4096, n_batch=512, favour=never_ends)
    evaluate = runner._evaluate

    def charge(runs: list) -> None:
        nonlocal seconds
        seconds += 0.01 * sum(len(one.tokens) for one in runs)
        evaluate(runs)

    runner._evaluate = charge
    engine = Engine(runner, VOCABULARY, n_parallel=4, n_draft=0, max_itl_s=0.25, now=lambda: seconds)
    stream = engine.add(request(b"abc", max_tokens=150))
    for _ in range(20):
        engine.step()
    prompt = engine.add(request(TOOLS * 9, max_tokens=4))
    arrived, token_times = seconds, []
    while prompt.n_generated == 0:
        n_before = stream.n_generated
        engine.step()
        token_times += [seconds] * (stream.n_generated - n_before)
    gaps = [later - earlier for earlier, later in itertools.pairwise([arrived, *token_times])]
    assert 0.2 < max(gaps) <= 0.3
    assert seconds - arrived < 1.2 * 0.01 * (prompt.n_prompt + len(token_times))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_no_cell_leaks_after_ten_thousand_requests(seed: int) -> None:
    """Small memory, tools in common, clients that leave: evictions, preemptions and restores all the time."""
    rng = random.Random(seed)
    runner = FakeRunner(n_ctx=420, n_slots=10, order=3)
    engine = make_engine(runner)
    tools = [bytes(rng.choices(range(97, 123), k=rng.randrange(40, 150))) for _ in range(5)]
    n_added, n_ended = 0, 0
    open_ones: list = []
    while n_added < 2_500 or engine.has_work:
        while n_added < 2_500 and len(open_ones) < 8:
            prefix = rng.choice(tools)
            question = bytes(rng.choices(range(97, 123), k=rng.randrange(1, 40)))
            one = dataclasses.replace(request(prefix + question, max_tokens=rng.randrange(40)), n_prefix=len(prefix))
            open_ones.append(engine.add(one))
            n_added += 1
        if rng.random() < 0.05 and open_ones:
            engine.cancel(rng.choice(open_ones))
        ended = {delivery.sequence.id for delivery in engine.step() if delivery.is_last}
        n_ended += len(ended)
        open_ones = [sequence for sequence in open_ones if sequence.id not in ended]
        engine.check_integrity()
    assert n_ended == n_added
    while engine._scheduler.prefixes.evict():
        engine.check_integrity()
    assert runner.n_used == 0
    assert engine._scheduler._residency.n_free == runner.n_ctx
