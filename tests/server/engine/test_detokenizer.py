from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from server.engine.detokenizer import Detokenizer

texts = st.text(alphabet=st.sampled_from("ab\né€😀"), max_size=30)
stops = st.lists(st.text(alphabet="ab\n", min_size=1, max_size=3), max_size=3).map(tuple)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def read(pieces: list[bytes], stop: tuple[str, ...] = ()) -> str:
    detokenizer = Detokenizer(stop)
    return "".join([detokenizer.feed(piece) for piece in pieces]) + detokenizer.finish()


def cut_by_reading_characters(text: str, stop: tuple[str, ...]) -> str:
    """The definition: the first stop string to be complete ends the text where it began."""
    for end in range(len(text) + 1):
        complete = [len(s) for s in stop if text[:end].endswith(s)]
        if complete:
            return text[: end - max(complete)]
    return text


@given(texts, stops, st.lists(st.integers(0, 120), max_size=20))
def test_any_cut_into_pieces_gives_the_same_text(text: str, stop: tuple[str, ...], cuts: list[int]) -> None:
    assert read(pieces_of(text.encode(), cuts), stop) == cut_by_reading_characters(text, stop)


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=20))
def test_broken_bytes_become_replacement_characters_whatever_the_cut(data: bytes, cuts: list[int]) -> None:
    assert read(pieces_of(data, cuts)) == data.decode("utf-8", "replace")


@given(texts, stops, st.lists(st.integers(0, 120), max_size=20))
@example("aab", ("ab",), [1])
def test_delivered_text_is_never_taken_back(text: str, stop: tuple[str, ...], cuts: list[int]) -> None:
    detokenizer = Detokenizer(stop)
    delivered = ""
    for piece in pieces_of(text.encode(), cuts):
        delivered += detokenizer.feed(piece)
        assert cut_by_reading_characters(text, stop).startswith(delivered)


def test_text_is_delivered_as_soon_as_it_cannot_begin_a_stop_string() -> None:
    detokenizer = Detokenizer(("</s>",))
    assert detokenizer.feed(b"a</") == "a"
    assert detokenizer.feed(b"b") == "</b"


@given(texts, stops, st.lists(st.integers(0, 120), max_size=20))
def test_the_stop_string_that_was_met_is_told(text: str, stop: tuple[str, ...], cuts: list[int]) -> None:
    detokenizer = Detokenizer(stop)
    for piece in pieces_of(text.encode(), cuts):
        detokenizer.feed(piece)
    detokenizer.finish()
    kept = cut_by_reading_characters(text, stop)
    if kept == text:
        assert detokenizer.stopped_by is None
    else:
        assert detokenizer.stopped_by in stop
        assert text.startswith(kept + detokenizer.stopped_by)


def test_nothing_follows_a_stop_string() -> None:
    detokenizer = Detokenizer(("end",))
    assert detokenizer.feed(b"the end, and more") == "the "
    assert detokenizer.is_stopped
    assert detokenizer.feed(b"more") == ""
    assert detokenizer.finish() == ""
