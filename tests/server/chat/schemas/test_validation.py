"""Validation after: right where it ends, and it always ends."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from server.chat.schemas.validation import MAX_VIOLATIONS, ValidationLimitError, violations

SCHEMAS = st.sampled_from(
    [
        {"not": {"const": 1}},
        {"if": {"type": "integer"}, "then": {"minimum": 2}},
        {"type": "array", "contains": {"const": 2}, "uniqueItems": True},
        {"oneOf": [{"type": "integer"}, {"minimum": 2}]},
        {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False},
        {"type": "object", "dependentRequired": {"a": ["b"]}},
        {"$ref": "#/$defs/x", "$defs": {"x": {"maxLength": 1}}},
    ]
)
VALUES = st.recursive(
    st.sampled_from([None, 1, 2, 3, "a", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)


@given(schema=SCHEMAS, value=VALUES)
def test_what_violates_is_what_the_reference_says(schema, value):
    expected = [error.json_path for error in Draft202012Validator(schema).iter_errors(value)]
    assert [found.path for found in violations(schema, json.dumps(value))] == expected[:MAX_VIOLATIONS]


def test_lookaround_is_checked():
    schema = {"pattern": r"^(?=.*\d).{4,}$"}
    assert violations(schema, '"abc1"') == ()
    assert violations(schema, '"abcd"')


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^(([a-z])+.)+[A-Z](?=x)([a-z])+$"},
        {"$ref": "http://127.0.0.1:9/never-fetched"},
        {"$ref": "#"},
        {"patternProperties": {"(a|a)*b": {}}},
        {"pattern": "(?<"},
    ],
)
def test_what_cannot_be_found_out_is_an_error_in_time(schema):
    started = time.process_time()
    with pytest.raises(ValidationLimitError):
        violations(schema, json.dumps("a" * 3000))
    assert time.process_time() - started < 1.0


def test_there_are_not_more_violations_than_anybody_reads():
    assert len(violations({"items": {"type": "null"}}, json.dumps([1] * 50))) == MAX_VIOLATIONS
