import struct
import tracemalloc
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizer.errors import FileFormatError
from quantizer.imatrix.file import Imatrix, ImatrixEntry, read_imatrix, write_imatrix


def an_imatrix(seed=0, n_mat=1):
    rng = np.random.default_rng(seed)

    def entry(n_in):
        sums = rng.random((n_mat, n_in)).astype(np.float32) * 1000
        counts = rng.integers(1, 5000, n_mat) if n_mat > 1 else np.array([3584])
        return ImatrixEntry(sums, counts, rng.normal(size=(n_mat, n_in)).astype(np.float32))

    kind = "_exps" if n_mat > 1 else ""
    names = (f"blk.0.ffn_up{kind}.weight", f"blk.0.ffn_down{kind}.weight", "output.weight")
    entries = dict(zip(names, map(entry, (64, 96, 64)), strict=True))
    return Imatrix(entries, ("a.txt", "b"), 7, 512, {"functiongate.note": "é"})


@given(seed=st.integers(0, 1000), n_mat=st.integers(1, 4))
def test_a_gguf_gives_back_what_was_written(tmp_path_factory, seed, n_mat):
    path = tmp_path_factory.mktemp("imatrix") / "i.gguf"
    written = an_imatrix(seed, n_mat)
    write_imatrix(path, written)
    found = read_imatrix(path)
    assert (found.datasets, found.chunk_count, found.chunk_size) == (written.datasets, 7, 512)
    assert found.extra == written.extra
    assert list(found.entries) == sorted(written.entries)
    for name, entry in written.entries.items():
        np.testing.assert_array_equal(found.entries[name].sums, entry.sums)
        np.testing.assert_array_equal(found.entries[name].means, entry.means)
        np.testing.assert_array_equal(found.entries[name].counts, entry.counts)


def test_the_older_form_keeps_the_weights_to_rounding(tmp_path):
    path = tmp_path / "i.dat"
    written = an_imatrix(n_mat=2)
    write_imatrix(path, written)
    found = read_imatrix(path)
    assert found.chunk_count == 7
    assert found.datasets == ("b",)
    for name in written.entries:
        np.testing.assert_allclose(found.weights(name), written.weights(name), rtol=1e-6)


def test_the_older_form_is_laid_out_as_llama_imatrix_writes_it(tmp_path):
    path = tmp_path / "i.dat"
    entry = ImatrixEntry(np.array([[2.0, 4.0]], np.float32), np.array([513]))
    write_imatrix(path, Imatrix({"w": entry}, ("t",), 1, 512))
    # 513 rows are two calls of 512, rounded up; values are means times calls.
    values = struct.pack("<2f", np.float32(2 / 513) * 2, np.float32(4 / 513) * 2)
    assert path.read_bytes() == struct.pack("<ii1sii", 1, 1, b"w", 2, 2) + values + struct.pack("<ii1s", 1, 1, b"t")


def test_an_expert_that_nothing_was_routed_to_weighs_one():
    entry = ImatrixEntry(np.array([[4.0, 8.0], [0.0, 0.0]], np.float32), np.array([4, 0]))
    assert Imatrix({"w": entry}).weights("w").tolist() == [1.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize("suffix", ["gguf", "dat"])
def test_a_damaged_file_is_read_or_refused_in_little_memory(tmp_path, suffix):
    """250 mutations of each form: bytes changed, lengths made huge, ends cut off."""
    path = tmp_path / f"i.{suffix}"
    write_imatrix(path, an_imatrix())
    whole, rng = path.read_bytes(), Random(1)
    refused = 0
    tracemalloc.start()
    for _ in range(250):
        path.write_bytes(mutated(whole, rng))
        try:
            read_imatrix(path)
        except FileFormatError:
            refused += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 50
    assert peak < 20e6


def mutated(whole, rng):
    data = bytearray(whole)
    match rng.randrange(4):
        case 0:
            return bytes(data[: rng.randrange(len(data))])
        case 1:
            for _ in range(rng.randint(1, 8)):
                data[rng.randrange(min(len(data), 600))] = rng.randrange(256)
        case 2:
            at = rng.randrange(min(len(data), 600) - 8)
            data[at : at + 8] = struct.pack("<Q", rng.choice([2**63, 2**40, 2**31, 2**64 - 1]))
        case 3:
            at = rng.randrange(min(len(data), 600))
            del data[at : at + rng.randint(1, 16)]
    return bytes(data)


def test_many_tensors_may_not_share_the_bytes_of_one(tmp_path):
    """Each would be read whole: a small file could ask for its own size thousands of times."""
    path = tmp_path / "i.gguf"
    n, size = 2000, 100_000
    table = b"".join(
        struct.pack("<Q", len(name)) + name + struct.pack("<IQQIQ", 2, size, 1, 0, 0)
        for name in (f"w{i}.in_sum2".encode() for i in range(n))
    )
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, n, 0) + table + bytes(4 * size + 64))
    with pytest.raises(FileFormatError, match="its tensors need"):
        read_imatrix(path)


def test_a_model_is_no_imatrix(tmp_path):
    from ggufs.tiny_gguf import write_tiny_gguf

    with pytest.raises(FileFormatError):
        read_imatrix(write_tiny_gguf(tmp_path / "tiny.gguf"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="no\\.gguf"):
        read_imatrix(tmp_path / "no.gguf")


def test_an_empty_imatrix_is_not_written(tmp_path):
    with pytest.raises(FileFormatError, match="without entries"):
        write_imatrix(tmp_path / "i.gguf", Imatrix({}))
    assert not list(tmp_path.iterdir())


def cut_off(name, n_mat=1):
    """A matrix of three weights of which one saw a chunk less than the others."""
    ones = np.ones((n_mat, 8), np.float32)
    seen = {f"blk.{i}.attn_q.weight": ImatrixEntry(np.ones((1, 8), np.float32), np.array([1024])) for i in range(2)}
    return Imatrix({**seen, name: ImatrixEntry(ones, np.full(n_mat, 512))}, ("t",), 2, 512)


def test_a_matrix_of_a_pass_that_was_cut_off_is_neither_written_nor_read(tmp_path, monkeypatch):
    path = tmp_path / "i.gguf"
    with pytest.raises(FileFormatError, match=r"blk\.1\.ffn_up\.weight saw 512 rows and blk\.0\.attn_q\.weight 1024"):
        write_imatrix(path, cut_off("blk.1.ffn_up.weight"))
    assert not list(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("quantizer.imatrix.file.uneven_counts", lambda _imatrix: None)
        write_imatrix(path, cut_off("blk.1.ffn_up.weight"))
    with pytest.raises(FileFormatError, match=r"is not a whole imatrix: .* \(collect it again"):
        read_imatrix(path)


@pytest.mark.parametrize(("name", "n_mat"), [("blk.0.ffn_up_exps.weight", 4), ("output.weight", 1)])
def test_experts_and_outputs_may_have_seen_less(tmp_path, name, n_mat):
    for suffix in ("gguf", "dat"):
        write_imatrix(tmp_path / f"i.{suffix}", cut_off(name, n_mat))
        assert len(read_imatrix(tmp_path / f"i.{suffix}").entries) == 3


def test_means_are_not_merged_with_sums(tmp_path):
    from quantizer.errors import DataError
    from quantizer.imatrix.collect import merge

    path = tmp_path / "i.dat"
    write_imatrix(path, an_imatrix())
    with pytest.raises(DataError, match="cannot be merged"):
        merge([an_imatrix(), read_imatrix(path)])
