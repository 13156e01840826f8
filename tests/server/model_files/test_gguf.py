"""The header reader: the whole is read, the rest is one clear line, and nothing is allocated on a file's word."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import StartupError
from server.model_files.gguf import read_header


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def small_file():
    """Two metadata strings, an array of strings, an array of numbers, one tensor of 32 Q4_1 values (20 bytes)."""
    entries = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("tokenizer.chat_template") + struct.pack("<I", 8) + text("{{ messages }}"),
        text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc"),
        text("scores") + struct.pack("<IIQ", 9, 6, 2) + struct.pack("<ff", 1, 2),
        text("n_ctx") + struct.pack("<II", 4, 77),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(entries)) + b"".join(entries)
    head += text("w") + struct.pack("<IQIQ", 1, 32, 3, 0)
    return head + b"\0" * (-len(head) % 32) + b"\1" * 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


def test_a_whole_file_tells_about_itself(path):
    path.write_bytes(small_file())
    header = read_header(path)
    assert (header.architecture, header.name, header.chat_template) == ("llama", None, "{{ messages }}")
    assert header.metadata["n_ctx"] == 77
    assert (header.version, header.n_tensors, header.size_bytes) == (3, 1, len(small_file()))


def test_every_truncation_is_refused_in_one_line(path):
    whole = small_file()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(StartupError) as caught:
            read_header(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


@given(at=st.integers(4, len(small_file()) - 21), value=st.integers(0, 255))
@settings(deadline=None)
def test_a_damaged_byte_is_refused_or_harmless(tmp_path_factory, at, value):
    damaged = bytearray(small_file())
    damaged[at] = value
    path = tmp_path_factory.mktemp("damaged") / "model.gguf"
    path.write_bytes(damaged)
    with contextlib.suppress(StartupError):  # anything else is a failure
        assert read_header(path).size_bytes == len(damaged)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "not a GGUF"),
        (b"PK\x03\x04" * 9, "not a GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 1, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 4, 1, 0), "version 4"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 0), "claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 62), "claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "no weights"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1 << 60), "string"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text("a") + struct.pack("<IIQ", 9, 8, 1 << 60), "strings"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text("a") + struct.pack("<IIQ", 9, 4, 1 << 60), "truncated"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text("a") + struct.pack("<I", 99), "unknown type"),
    ],
)
def test_absurd_claims_are_refused_without_large_allocations(path, head, reason):
    path.write_bytes(head)
    tracemalloc.start()
    with pytest.raises(StartupError, match=reason):
        read_header(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_a_missing_file_is_one_clear_line(path):
    with pytest.raises(StartupError, match="No such file"):
        read_header(path)


def test_the_tensor_table_tells_where_data_lies(path):
    path.write_bytes(small_file())
    header = read_header(path)
    (tensor,) = header.tensors
    assert (tensor.name, tensor.shape, tensor.type_id, tensor.offset) == ("w", (32,), 3, 0)
    assert (tensor.n_values, tensor.size_bytes) == (32, 20)
    assert header.data_offset + tensor.size_bytes == header.size_bytes
    assert header.split is None


def test_arrays_are_read_up_to_the_length_asked_for(path):
    path.write_bytes(small_file())
    assert read_header(path).arrays == {}
    assert read_header(path, max_array=1).arrays == {}
    assert read_header(path, max_array=2).arrays == {"tokens": ("a", "bc"), "scores": (1.0, 2.0)}


def test_every_entrys_length_is_known_read_or_skipped(path):
    path.write_bytes(small_file())
    lengths = read_header(path).entry_bytes
    assert lengths == read_header(path, max_array=9).entry_bytes
    assert lengths["n_ctx"] == 8 + 5 + 4 + 4
    assert lengths["tokens"] == 8 + 6 + 4 + 4 + 8 + 8 + 1 + 8 + 2
    assert 24 + sum(lengths.values()) == read_header(path).metadata_end


@pytest.mark.parametrize("max_array", [0, 9])
def test_a_string_counts_up_to_its_nul_as_llama_cpp_writes_it(path, max_array):
    entries = [
        text("one") + struct.pack("<I", 8) + text("ab\0cd"),
        text("many") + struct.pack("<IIQ", 9, 8, 2) + text("a\0") + text("b"),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + b"".join(entries) + text("w") + struct.pack("<IQIQ", 1, 1, 0, 0)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + b"\0" * 4)
    lengths = read_header(path, max_array=max_array).entry_bytes
    assert lengths["one"] == 8 + 3 + 4 + 8 + 2
    assert lengths["many"] == 8 + 4 + 4 + 4 + 8 + 8 + 1 + 8 + 1


@given(lengths=st.lists(st.integers(0, 300_000), max_size=40))
@settings(max_examples=30)
def test_a_vocabulary_of_any_strings_is_walked_over(tmp_path_factory, lengths):
    """Strings across the borders of the blocks in which they are read, and longer ones than a block."""
    body = b"".join(struct.pack("<Q", 5 * length) + b"x" * (5 * length) for length in lengths)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    head += text("tokens") + struct.pack("<IIQ", 9, 8, len(lengths)) + body
    head += text("after") + struct.pack("<II", 4, 7) + text("w") + struct.pack("<IQIQ", 1, 1, 0, 0)
    path = tmp_path_factory.mktemp("vocabulary") / "model.gguf"
    path.write_bytes(head + b"\0" * (-len(head) % 32) + b"\0" * 4)
    assert read_header(path).metadata == {"after": 7}


@pytest.mark.parametrize(
    ("entries", "tensors", "reason"),
    [
        ([text("")], [], "empty, there twice, or holds a NUL"),
        ([text("\0general.name")], [], "empty, there twice, or holds a NUL"),
        ([text("a"), text("a")], [], "there twice"),
        ([], [text("w"), text("w")], "there twice"),
        ([], [text("w" * 64)], "64 bytes"),
    ],
)
def test_what_would_abort_llama_cpp_is_refused(path, entries, tensors, reason):
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries))
    head += b"".join(key + struct.pack("<II", 4, 7) for key in entries)
    head += b"".join(name + struct.pack("<IQIQ", 1, 1, 0, 0) for name in tensors)
    path.write_bytes(head + b"\0" * 100)
    with pytest.raises(StartupError, match=reason):
        read_header(path)


def test_a_row_of_no_whole_blocks_is_refused(path):
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("w") + struct.pack("<IQIQ", 1, 31, 3, 0)
    path.write_bytes(head + b"\0" * 100)
    with pytest.raises(StartupError, match="cannot be of type 3"):
        read_header(path)
