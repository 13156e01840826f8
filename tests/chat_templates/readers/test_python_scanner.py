"""Literals become JSON: valid JSON byte for byte, Python's by meaning."""

import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_templates.readers.json_scanner import Scan
from chat_templates.readers.python_scanner import PythonScanner, atom_as_json

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda part: st.lists(part) | st.dictionaries(st.text(), part), max_leaves=12)
OBJECTS = st.dictionaries(st.text(), VALUES)


def as_json(text):
    """The text told, and what became of its last character."""
    scanner = PythonScanner()
    told, scan = "", Scan.MORE
    for c in text:
        assert scan is Scan.MORE, f"ended before {c!r}"
        scan = scanner.push(c)
        told += scanner.told(c)
    return told, scan


@given(OBJECTS, st.sampled_from([None, 1, 4]), st.booleans())
def test_valid_json_passes_byte_for_byte(value, indent, ensure_ascii):
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
    assert as_json(text) == (text, Scan.DONE)


@given(OBJECTS)
def test_what_python_prints_means_the_same_as_json(value):
    told, scan = as_json(repr(value))
    assert scan is Scan.DONE
    assert json.loads(told) == value


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        ("{'a': (1, 2)}", '{"a": [1, 2]}'),
        ("{'a': [1, 2,], }", '{"a": [1, 2] }'),
        ("{'a': True, 'b': None, 'c': false}", '{"a": true, "b": null, "c": false}'),
        ("{'a': +5, 'b': .5, 'c': 5., 'd': 1_000, 'e': 0x1F, 'f': -0b11}", None),
        ("{1: 'x', None: 2}", '{"1": "x", "null": 2}'),
        (r"""{'a': 'it\'s', 'b': "'"}""", '{"a": "it\'s", "b": "\'"}'),
        (r"""{'a': '"', 'b': '\x41\U0001F600\q'}""", r'{"a": "\"", "b": "A😀\\q"}'),
        ("{'a': 'x\ny'}", r'{"a": "x\ny"}'),
        (r"{'a': '\ud83d\ude00'}", r'{"a": "\ud83d\ude00"}'),
        (r"{'a': 'C:\users\Ulm'}", r'{"a": "C:\\users\\Ulm"}'),
    ],
)
def test_python_becomes_json(python, expected):
    told, scan = as_json(python)
    assert scan is Scan.DONE
    if expected is None:
        assert json.loads(told) == ast.literal_eval(python)
    else:
        assert told == expected
        json.loads(told)


@pytest.mark.parametrize("text", ["{a: 1}", "{'a': b}", "{'a' 1}", "{'a': 1 2}", "{'a': 1]", "{'a': 1j}", "{'a': 012}"])
def test_what_is_no_literal_is_invalid(text):
    scanner = PythonScanner()
    assert Scan.INVALID in [scanner.push(c) for c in text]


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_digits(number):
    assert atom_as_json(repr(number)) == repr(number)


@pytest.mark.parametrize("cut", range(1, 40))
def test_what_a_limit_cut_is_told_as_far_as_it_was_read(cut):
    text = '{"a": [1, -2.5], "b": "", "c": null, "d": 7}'[:cut]
    scanner = PythonScanner()
    told = ""
    for c in text:
        assert scanner.push(c) is Scan.MORE
        told += scanner.told(c)
    assert told + scanner.unfinished() == text
