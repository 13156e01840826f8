"""A file is there whole, or as it was."""

from __future__ import annotations

import os

import pytest

from server.whole_file import partial_owner, whole_file


def test_a_file_appears_when_all_of_it_is_written(tmp_path):
    path = tmp_path / "a.json"
    with whole_file(path) as aside:
        aside.write_text("half")
        assert not path.exists()
        assert partial_owner(aside.name) == os.getpid()
        aside.write_text("whole")
    assert path.read_text() == "whole"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_what_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("before")

    def fail(aside):
        aside.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), whole_file(path) as aside:
        fail(aside)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("name", ["a.json", ".a.json", ".a.json.partial", "a.12.partial", ".a.x.partial"])
def test_other_files_are_nobodys_partial_ones(name):
    assert partial_owner(name) is None
