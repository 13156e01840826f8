"""Imatrix files as a plan reads them."""

from __future__ import annotations

import numpy as np
import pytest
from ggufs.hand_made_imatrix import HandMadeEntry, HandMadeImatrix, hand_made_imatrix, write_imatrix

from quantizer.errors import FileFormatError
from quantizer.imatrix.file import Imatrix, ImatrixEntry
from quantizer.imatrix.file import write_imatrix as write_collected
from quantizer.imatrix.source import ImatrixFile, read_imatrix_source
from quantizer.model.inventory import read_inventory


def test_sums_counts_and_their_quotients_are_read(wide, tmp_path):
    made = hand_made_imatrix(read_inventory(wide))
    path = write_imatrix(made, tmp_path / "imatrix.gguf")
    found = read_imatrix_source(path)
    assert (found.file_name, len(found.sha256)) == ("imatrix.gguf", 64)
    assert (found.imatrix.datasets, found.imatrix.chunk_count) == (("made by hand",), 7)
    assert found.imatrix.entries.keys() == made.imatrix.entries.keys()
    for name in made.imatrix.entries:
        assert np.array_equal(found.imatrix.weights(name), made.imatrix.weights(name))


def test_an_expert_that_was_never_asked_weighs_one(tmp_path):
    sums = np.array([[2, 4], [0, 0]], np.float32)
    entry = HandMadeEntry(sums, np.array([2, 0], np.float32))
    made = ImatrixFile(HandMadeImatrix({"blk.0.ffn_up_exps.weight": entry}), "x", "0" * 64)
    found = read_imatrix_source(write_imatrix(made, tmp_path / "imatrix.gguf"))
    assert found.imatrix.weights("blk.0.ffn_up_exps.weight").tolist() == [1, 2, 1, 1]


def test_a_model_is_no_imatrix(tiny):
    with pytest.raises(FileFormatError, match="is no imatrix"):
        read_imatrix_source(tiny)


def test_counts_that_do_not_fit_are_refused(tmp_path):
    entry = HandMadeEntry(np.ones((2, 4), np.float32), np.ones(3, np.float32))
    made = ImatrixFile(HandMadeImatrix({"blk.0.attn_q.weight": entry}), "x", "0" * 64)
    with pytest.raises(FileFormatError, match="do not fit"):
        read_imatrix_source(write_imatrix(made, tmp_path / "imatrix.gguf"))


def test_our_own_imatrix_is_read_though_it_holds_more(tmp_path):
    """Collected ones have the sums of inputs beside the sums of their squares."""
    entry = ImatrixEntry(np.full((1, 4), 8.0), np.array([2]), np.ones((1, 4)))
    path = tmp_path / "own.gguf"
    write_collected(path, Imatrix({"blk.0.attn_q.weight": entry}, ("text",), 1, 8))
    found = read_imatrix_source(path).imatrix
    assert list(found.entries) == ["blk.0.attn_q.weight"]
    assert found.weights("blk.0.attn_q.weight").tolist() == [4, 4, 4, 4]
