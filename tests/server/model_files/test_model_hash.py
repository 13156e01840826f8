import hashlib
import os
import time

import pytest

from server.model_files.model_hash import known_hash, model_hash

ONE, TWO = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))


@pytest.fixture
def file(tmp_path):
    """A file that has not changed for a minute, by the clock that the module reads."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one")
    return path


@pytest.fixture
def a_minute_later(monkeypatch):
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60_000_000_000)


@pytest.mark.usefixtures("a_minute_later")
def test_a_hash_is_of_the_bytes_and_remembered_until_they_change(file, tmp_path):
    cache = tmp_path / "cache"
    assert known_hash(file, cache) is None
    assert model_hash(file, cache) == known_hash(file, cache) == ONE
    [note] = (cache / "hashes").iterdir()
    note.write_text(note.read_text().replace(ONE, "remembered"))
    assert model_hash(file, cache) == known_hash(file, cache) == "remembered"
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert known_hash(file, cache) is None
    assert model_hash(file, cache) == TWO


@pytest.mark.usefixtures("a_minute_later")
def test_a_time_of_change_that_is_set_back_does_not_deceive(file, tmp_path):
    before = file.stat()
    model_hash(file, tmp_path)
    time.sleep(0.02)  # longer than a tick of the file system's clock
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert model_hash(file, tmp_path) == TWO


def test_the_hash_of_a_file_that_has_just_been_written_is_not_remembered(file, tmp_path):
    assert model_hash(file, tmp_path) == ONE
    assert known_hash(file, tmp_path) is None


@pytest.mark.usefixtures("a_minute_later")
def test_a_note_that_cannot_be_read_or_written_only_costs_time(file, tmp_path):
    model_hash(file, tmp_path)
    for note in (tmp_path / "hashes").iterdir():
        note.write_text("{")
    assert model_hash(file, tmp_path) == ONE
    assert model_hash(file, file / "impossible") == ONE
