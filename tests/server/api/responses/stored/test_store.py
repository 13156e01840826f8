"""The store by itself: bounds, ages, owners, threads."""

from __future__ import annotations

import stat
import threading

import pytest

from server.api.responses.stored.store import Conversation, ResponseStore, StoreError, Turn


@pytest.fixture
def opened(tmp_path):
    stores = []

    def make(**options):
        stores.append(ResponseStore(tmp_path / "deep" / "responses.db", **{"max_bytes": 1 << 20, **options}))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def turn(i, previous=None, conversation=None, text="x"):
    item = {"role": "user", "content": text}
    return Turn(f"resp_{i}", [item], {"id": f"resp_{i}", "output": []}, previous, conversation)


def test_a_chain_is_told_oldest_first_and_only_whole(opened):
    store = opened()
    for i in range(5):
        store.add("me", turn(i, previous=f"resp_{i - 1}" if i else None))
    assert [each.id for each in store.chain("me", "resp_3")] == ["resp_0", "resp_1", "resp_2", "resp_3"]
    assert store.chain("you", "resp_3") is None
    assert store.delete("you", "resp_1") is False
    assert store.delete("me", "resp_1") is True
    assert store.chain("me", "resp_3") is None
    assert [each.id for each in store.chain("me", "resp_0")] == ["resp_0"]


def test_a_chain_that_leaves_a_conversation_has_what_the_conversation_had_then(opened):
    store = opened()
    store.begin("me", Conversation("conv", 0.0))
    for i in range(3):
        store.add("me", turn(i, conversation="conv"))
    store.add("me", turn("branch", previous="resp_1"))
    assert [each.id for each in store.chain("me", "resp_branch")] == ["resp_0", "resp_1", "resp_branch"]
    assert [each.id for each in store.conversation("me", "conv")[1]] == ["resp_0", "resp_1", "resp_2"]
    assert store.conversation("you", "conv") is None


def test_the_file_stays_within_its_bound_and_keeps_the_newest(opened, tmp_path):
    store = opened(max_bytes=300_000)
    for i in range(200):
        store.add("me", turn(i, text="x" * 5_000))
        assert store.used_bytes() <= 300_000
    assert store.get("me", "resp_0") is None
    assert store.get("me", "resp_199").input[0]["content"] == "x" * 5_000
    store.close()
    assert (tmp_path / "deep" / "responses.db").stat().st_size <= 310_000


def test_what_alone_is_larger_than_the_bound_is_kept_until_the_next_comes(opened):
    store = opened(max_bytes=100_000)
    store.add("me", turn(0, text="x" * 200_000))
    assert store.get("me", "resp_0") is not None
    store.add("me", turn(1))
    assert store.get("me", "resp_0") is None


def test_a_conversation_is_dropped_whole(opened):
    store = opened(max_bytes=300_000)
    store.begin("me", Conversation("conv", 0.0, {"a": "b"}))
    for i in range(40):
        store.add("me", turn(f"c{i}", conversation="conv", text="x" * 2_000))
    for i in range(200):
        store.add("me", turn(i, text="x" * 5_000))
    assert store.conversation("me", "conv") is None
    assert store.get("me", "resp_c39") is None


def test_age_hides_at_once_and_drops_with_the_next_turn(opened):
    clock = [1000.0]
    store = opened(max_age_s=60, now=lambda: clock[0])
    store.begin("me", Conversation("conv", 0.0))
    store.add("me", turn(0))
    clock[0] = 1050.0
    store.add("me", turn(1, previous="resp_0"))
    store.add("me", turn(2, conversation="conv"))
    clock[0] = 1070.0
    assert store.get("me", "resp_0") is None
    assert store.chain("me", "resp_1") is None
    assert store.get("me", "resp_1") is not None
    assert store.conversation("me", "conv") is not None
    clock[0] = 2000.0
    store.add("me", turn(3))
    clock[0] = 1000.0
    assert [store.get("me", f"resp_{i}") is not None for i in range(4)] == [False, False, False, True]
    assert store.conversation("me", "conv") is None


def test_threads_and_two_processes_write_at_once(opened):
    stores = [opened(), opened()]

    def write(store, k):
        for i in range(20):
            store.add("me", turn(f"{k}_{i}"))

    threads = [threading.Thread(target=write, args=(stores[k % 2], k)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(stores[0].get("me", f"resp_{k}_{i}") for k in range(4) for i in range(20))


def test_prompts_are_their_owners_alone(opened, tmp_path):
    opened().add("me", turn(0))
    folder = tmp_path / "deep"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="file"):
        ResponseStore(tmp_path / "file" / "responses.db", max_bytes=1)
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="broken"):
        ResponseStore(broken, max_bytes=1)


def test_an_id_is_stored_once(opened):
    store = opened()
    store.add("me", turn(0))
    with pytest.raises(StoreError):
        store.add("me", turn(0))
    assert store.get("me", "resp_0") is not None
