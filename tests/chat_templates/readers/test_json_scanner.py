"""The scanner against Python's json module as the oracle."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_templates.readers.json_scanner import JsonScanner, Scan

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
CONTAINERS = st.lists(VALUES) | st.dictionaries(st.text(), VALUES)


def scan(text):
    scanner = JsonScanner()
    return [scanner.push(c) for c in text]


@given(value=CONTAINERS, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 2]))
def test_a_value_is_done_exactly_at_its_last_character(value, ascii_only, indent):
    steps = scan(json.dumps(value, ensure_ascii=ascii_only, indent=indent))
    assert steps[-1] is Scan.DONE
    assert set(steps[:-1]) <= {Scan.MORE}


@given(value=CONTAINERS, position=st.integers(0, 200), c=st.sampled_from(list('{}[]",:0x\\t ')))
def test_whatever_scans_to_its_end_is_json(value, position, c):
    text = json.dumps(value)
    position %= len(text) + 1
    mutated = text[:position] + c + text[position:]
    scanner = JsonScanner()
    for i, character in enumerate(mutated):
        step = scanner.push(character)
        if step is Scan.DONE:
            assert is_json_but_for_numbers(mutated[: i + 1])
            return
        if step is Scan.INVALID:
            with pytest.raises(ValueError, match=r"."):
                json.loads(mutated)
            return


def is_json_but_for_numbers(text):
    """Numbers are scanned by their characters only; everything else is exact."""
    try:
        json.loads(text, strict=False)
    except ValueError as error:
        return any(ch in "0123456789+-.eE" for ch in text[max(0, error.pos - 2) : error.pos + 2])
    return True


def test_a_number_ends_before_what_is_not_part_of_it():
    assert scan("12 ") == [Scan.MORE, Scan.MORE, Scan.PAST]


def test_raw_line_breaks_inside_strings_are_let_through():
    assert scan('{"a": "b\nc"}')[-1] is Scan.DONE
