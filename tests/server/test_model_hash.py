import hashlib
import os

from server.model_hash import model_hash


def test_a_hash_is_of_the_bytes_and_remembered_until_they_change(tmp_path):
    file, cache = tmp_path / "model.gguf", tmp_path / "cache"
    file.write_bytes(b"one")
    assert model_hash(file, cache) == hashlib.sha256(b"one").hexdigest()
    [note] = (cache / "hashes").iterdir()
    note.write_text(note.read_text().replace(hashlib.sha256(b"one").hexdigest(), "remembered"))
    assert model_hash(file, cache) == "remembered"
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert model_hash(file, cache) == hashlib.sha256(b"two").hexdigest()


def test_a_note_that_cannot_be_read_or_written_only_costs_time(tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"one")
    model_hash(file, tmp_path)
    for note in (tmp_path / "hashes").iterdir():
        note.write_text("{")
    assert model_hash(file, tmp_path) == hashlib.sha256(b"one").hexdigest()
    assert model_hash(file, file / "impossible") == hashlib.sha256(b"one").hexdigest()
