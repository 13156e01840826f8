"""What outlives memory: files that are whole or absent, and that go back only where they came from."""

import itertools
import logging
import random
import threading

import numpy as np
import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from server.engine.engine import Engine
from server.engine.kv_cache.prefix_store import MIN_TOKENS, PrefixStore
from server.engine.sequence import Phase, Sequence
from server.engine.types import GenerationChunk, GenerationRequest, SamplingParams, ServiceTerms

VOCABULARY = ByteVocabulary()
GREEDY = SamplingParams(temperature=0.0)
TOOLS = bytes(random.Random(1).choices(range(97, 123), k=150))


def tokens(seed: int, n: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, n, dtype=np.int32)


@pytest.fixture
def open_store(tmp_path):
    stores = []

    def open_one(*, identity="model a", max_ram=1 << 20, max_disk=1 << 20, root=tmp_path):
        stores.append(PrefixStore(root, identity=identity, max_ram=max_ram, max_disk=max_disk))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def files(tmp_path):
    return sorted(tmp_path.rglob("*.prefix"))


@pytest.mark.parametrize("max_ram", [0, 1 << 20])
def test_what_was_saved_is_found_by_its_beginning_also_by_the_next_process(open_store, max_ram):
    store = open_store(max_ram=max_ram)
    store.save(tokens(1), b"state one")
    store.save(tokens(2), b"state two")
    store.flush()
    longer = np.concatenate([tokens(1), tokens(3, 5)])
    for one in (store, open_store(max_ram=max_ram)):
        entry, n = one.longest(longer)
        assert (n, one.read(entry)) == (100, b"state one")
        assert one.longest(tokens(4)) is None
        assert not one.lacks(tokens(1)[:80])
        assert one.lacks(longer)


def test_a_beginning_that_is_too_short_is_not_worth_reading(open_store):
    store = open_store()
    store.save(tokens(1), b"state")
    wanted = tokens(1)
    wanted[MIN_TOKENS - 1] += 1
    assert store.longest(wanted) is None
    assert not store.lacks(tokens(5, MIN_TOKENS - 1))


def test_ram_and_disk_are_bounded_and_the_least_recently_used_goes(open_store, tmp_path):
    store = open_store(max_ram=250, max_disk=3000)
    for seed in range(10):
        store.save(tokens(seed), bytes(100))
        store.flush()
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 3000
    assert sum(entry.state is not None for entry in store._entries) == 2
    assert store.longest(tokens(9)) is not None
    assert store.longest(tokens(0)) is None


def test_without_a_directory_ram_is_all_there_is(open_store, tmp_path):
    store = open_store(max_disk=0, max_ram=250)
    for seed in range(4):
        store.save(tokens(seed), bytes(100))
    assert len(store) == 2
    assert files(tmp_path) == []


def test_a_conversation_under_a_key_replaces_what_it_continues(open_store, tmp_path):
    store = open_store()
    talk = tokens(1, 300)
    for n in (100, 200, 300):
        store.save(talk[:n], b"state", "chat 1")
        store.flush()
    assert (len(store), len(files(tmp_path))) == (1, 1)
    store.save(talk[:100], b"state")
    assert len(store) == 2


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_is_ignored_with_a_warning(open_store, tmp_path, caplog, seed):
    store = open_store()
    store.save(tokens(1), bytes(range(200)))
    store.close()
    rng = random.Random(seed)
    [file] = files(tmp_path)
    data = bytearray(file.read_bytes())
    if seed % 2:
        del data[rng.randrange(len(data)) :]
    else:
        data[rng.randrange(len(data))] ^= 1 + rng.randrange(255)
    file.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        again = open_store()
        found = again.longest(tokens(1))
        state = again.read(found[0]) if found else None
    assert state in (None, bytes(range(200)))
    if state is None:
        assert found is None or len(again) == 0
        assert "is ignored" in caplog.text or found is None
    else:  # the one flip that changes nothing: inside the JSON's cache key or white space
        assert seed % 2 == 0


def test_another_model_s_prefixes_are_not_seen(open_store, tmp_path, caplog):
    store = open_store()
    store.save(tokens(1), b"state")
    store.flush()
    assert len(open_store(identity="model b")) == 0
    [file] = files(tmp_path)
    other = open_store(identity="model b")
    foreign = other._folder(tmp_path) / file.name
    foreign.parent.mkdir()
    file.rename(foreign)
    with caplog.at_level(logging.WARNING):
        assert len(open_store(identity="model b")) == 0
    assert "belongs to model a" in caplog.text


def test_a_directory_that_cannot_be_written_is_a_warning_and_ram_goes_on(open_store, tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    store = open_store(root=blocked)
    with caplog.at_level(logging.WARNING):
        store.save(tokens(1), b"state")
        store.flush()
    assert "in memory only" in caplog.text
    assert store.read(store.longest(tokens(1))[0]) == b"state"


def generate(engine: Engine, *requests: GenerationRequest) -> list:
    ends = {}
    for one in requests:
        engine.add(one)
    while engine.has_work or engine.waits():
        for delivery in engine.step():
            assert isinstance(delivery.item, GenerationChunk), delivery.item
            text, _ = ends.get(delivery.sequence.id, ("", None))
            ends[delivery.sequence.id] = (text + delivery.item.text, delivery.item.usage)
        engine.check_integrity()
    return [ends[key] for key in sorted(ends)]


def make_engine(store, **options) -> Engine:
    clock, arrived = itertools.count(), threading.Event()
    engine = Engine(
        FakeRunner(**options), VOCABULARY, n_parallel=4, store=store, now=lambda: next(clock) * 0.05, wake=arrived.set
    )

    def waits() -> bool:
        """As the engine's thread does: sleep while all that waits, waits for the store."""
        return bool(engine._scheduler.waiting) and arrived.wait(10)

    engine.waits = waits
    return engine


def ask(question: bytes, *, n_prefix: int = len(TOOLS), cache_key: str | None = None) -> GenerationRequest:
    terms = ServiceTerms(cache_key=cache_key)
    return GenerationRequest(tuple(TOOLS + question), GREEDY, 8, n_prefix=n_prefix, terms=terms)


def test_a_restarted_engine_skips_the_prefill_of_known_tools(open_store):
    store = open_store()
    plain = generate(make_engine(None, n_ctx=1024), ask(b"one?"), ask(b"two?"))
    first = make_engine(store, n_ctx=1024)
    assert generate(first, ask(b"one?"))[0][0] == plain[0][0]
    assert first.metrics.stored_tokens == len(TOOLS)
    store.close()
    second = make_engine(open_store(), n_ctx=1024)
    [(text, usage)] = generate(second, ask(b"two?"))
    assert (text, usage.cached) == (plain[1][0], len(TOOLS))
    assert second.metrics.restored_tokens == len(TOOLS)
    assert second.metrics.prefill_tokens == len(b"two?")


def test_requests_that_arrive_together_restore_a_prefix_once(open_store):
    store = open_store()
    generate(make_engine(store, n_ctx=1024), ask(b"one?"))
    engine = make_engine(store, n_ctx=1024)
    answers = generate(engine, *(ask(bytes([letter]) * 3) for letter in b"abcd"))
    assert [usage.cached for _, usage in answers] == [len(TOOLS)] * 4
    assert engine.metrics.restored_tokens == len(TOOLS)


@pytest.mark.parametrize("n_ctx", [160, 200, 330])
def test_a_prefix_that_finds_no_room_is_computed(open_store, n_ctx):
    store = open_store()
    other = GenerationRequest(tuple(b"z" * 90), GREEDY, 8)
    [(alone, _)] = generate(make_engine(None, n_ctx=n_ctx), ask(b"?"))
    generate(make_engine(store, n_ctx=1024), ask(b"one?"))
    engine = make_engine(store, n_ctx=n_ctx)
    assert generate(engine, other, ask(b"?"))[1][0] == alone


def test_a_prefix_that_finds_no_room_evicts_none_that_is_here(open_store):
    store = open_store()
    generate(make_engine(store, n_ctx=1024), ask(b"one?"))
    engine = make_engine(store, n_ctx=len(TOOLS) + 5)
    generate(engine, GenerationRequest(tuple(b"z" * 40), GREEDY, 8))
    known = engine._scheduler.prefixes.n_tokens
    part = TOOLS[:100] + b"?"  # fits by itself; what is stored, and an answer behind it, does not
    stored = store.fetch(np.array(tuple(part), dtype=np.int32), 1, lambda: None)
    waiting = Sequence(99, GenerationRequest(tuple(part), GREEDY, 8), engine._runner.n_ctx, engine._vocabulary)
    assert stored.state is not None
    assert not engine._scheduler._import(waiting, stored, engine._scheduler._longest_beginning(waiting))
    assert engine._scheduler.prefixes.n_tokens == known > 0


def test_running_streams_go_on_while_a_prefix_is_read(open_store, monkeypatch):
    """Disk and hash are the store's thread's: a request that arrives holds up nobody."""
    store = open_store()
    [(alone, _)] = generate(make_engine(None, n_ctx=1024), ask(b"one?"))
    generate(make_engine(store, n_ctx=1024), ask(b"one?"))
    read, may_read, readers = store.read, threading.Event(), []

    def slow_read(entry):
        readers.append(threading.current_thread())
        assert may_read.wait(10)
        return read(entry)

    monkeypatch.setattr(store, "read", slow_read)
    engine = make_engine(store, n_ctx=1024)
    stream = engine.add(GenerationRequest(tuple(b"z" * 40), GREEDY, 8))
    late = engine.add(ask(b"one?"))
    while engine.has_work:
        engine.step()
    assert stream.phase is Phase.ENDED
    assert late.phase is Phase.WAITING
    may_read.set()
    [(text, usage)] = generate(engine)
    assert (text, usage.cached) == (alone, len(TOOLS))
    assert readers
    assert threading.current_thread() not in readers


def test_a_file_that_another_process_removes_does_not_end_the_store(open_store, tmp_path):
    store = open_store()
    generate(make_engine(store, n_ctx=1024), ask(b"one?"))
    store.flush()
    [file] = tmp_path.rglob("*.prefix")
    file.with_name("gone.prefix").symlink_to(tmp_path / "nowhere")  # listed, and not there when it is looked at
    store.save(np.frombuffer(TOOLS[::-1], dtype=np.uint8).astype(np.int32), b"state")
    store.flush()
    assert len([path for path in tmp_path.rglob("*.prefix") if path.exists()]) == 2


def test_a_state_that_the_runner_refuses_costs_a_prefill_and_no_more(open_store):
    store = open_store()
    store.save(np.frombuffer(TOOLS, dtype=np.uint8).astype(np.int32), b"not a state")
    engine = make_engine(store, n_ctx=1024)
    [(_, usage)] = generate(engine, ask(b"one?"))
    assert usage.cached == 0


def test_a_cache_key_keeps_the_whole_conversation(open_store):
    store = open_store()
    engine = make_engine(store, n_ctx=1024)
    generate(engine, ask(b"a question", cache_key="chat"))
    again = make_engine(store, n_ctx=1024)
    [(_, usage)] = generate(again, ask(b"a question and more", cache_key="chat"))
    assert usage.cached == len(TOOLS) + len(b"a question")
    assert len(store) == 1


def test_a_model_that_cannot_share_keeps_nothing(open_store):
    store = open_store()
    generate(make_engine(store, n_ctx=1024, can_share_prefix=False), ask(b"one?"))
    assert len(store) == 0
