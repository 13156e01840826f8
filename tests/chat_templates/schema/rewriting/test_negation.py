"""What fits a schema does not fit its negation, and the other way round."""

import re

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_templates.schema.pattern import portable
from chat_templates.schema.rewriting.conditions import CONDITIONS, without_condition
from chat_templates.schema.rewriting.names import name_properties
from chat_templates.schema.rewriting.negation import NoNegationError, negated, other_text

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.sampled_from([0.5, 2.5]), st.text("ab", max_size=3)),
    lambda part: st.one_of(st.lists(part, max_size=3), st.dictionaries(NAMES, part, max_size=3)),
    max_leaves=6,
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.text("ab", max_size=3))
LEAVES = st.one_of(
    st.booleans(),
    st.builds(lambda kind: {"type": kind}, st.sampled_from(["null", "boolean", "number", "string", "array", "object"])),
    st.builds(lambda kinds: {"type": kinds}, st.lists(st.sampled_from(["null", "string", "object"]), min_size=1)),
    st.builds(lambda value: {"const": value}, SCALARS),
    st.builds(lambda values: {"enum": values}, st.lists(SCALARS, min_size=1, max_size=4)),
    st.builds(
        lambda key, bound: {key: bound},
        st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
        st.integers(-1, 2),
    ),
    st.builds(
        lambda key, bound: {key: bound},
        st.sampled_from([f"{end}{what}" for end in ("min", "max") for what in ("Length", "Items", "Properties")]),
        st.integers(0, 2),
    ),
    st.builds(lambda names: {"required": names}, st.lists(NAMES, unique=True, max_size=2)),
    st.builds(lambda key: {key: False}, st.sampled_from(["items", "contains"])),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda part: st.one_of(
        st.builds(lambda parts: {"properties": parts}, st.dictionaries(NAMES, part, max_size=2)),
        st.builds(
            lambda key, parts: {key: parts}, st.sampled_from(["anyOf", "allOf"]), st.lists(part, min_size=1, max_size=3)
        ),
        st.builds(lambda key, one: {key: one}, st.sampled_from(["not", "contains"]), part),
        st.builds(lambda one: {"minimum": 1, "required": ["a"], "properties": {"a": one}}, part),
    ),
    max_leaves=4,
)


def fits(schema, value):
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@given(SCHEMAS, VALUES)
def test_a_value_fits_a_schema_or_its_negation(schema, value):
    assert fits(schema, value) != fits(negated(schema, schema), value)


@given(st.lists(st.text("ab.\n", max_size=4), min_size=1, max_size=5), st.text("abc.\n", max_size=5))
def test_a_pattern_of_other_texts_matches_all_but_these(texts, text):
    pattern = portable(other_text(texts))
    assert (re.fullmatch(pattern.removeprefix("^").removesuffix("$"), text) is None) == (text in texts)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"const": [1]},
        {"pattern": "a"},
        {"items": {"type": "string"}},
        {"contains": True, "minContains": 2},
        {"multipleOf": 2},
        {"enum": [str(i) for i in range(25)]},
        {"$ref": "#/nowhere"},
    ],
    ids=str,
)
def test_what_no_schema_says_has_no_negation(schema):
    with pytest.raises(NoNegationError):
        negated(schema, schema)


CONDITIONAL = st.one_of(
    st.builds(
        lambda wanted: {"dependentRequired": wanted},
        st.dictionaries(NAMES, st.lists(NAMES, max_size=2), min_size=1, max_size=2),
    ),
    st.builds(lambda parts: {"dependentSchemas": parts}, st.dictionaries(NAMES, SCHEMAS, min_size=1, max_size=2)),
    st.builds(lambda test, then: {"if": test, "then": then}, SCHEMAS, SCHEMAS),
    st.builds(lambda test, other: {"if": test, "else": other}, SCHEMAS, SCHEMAS),
    st.builds(lambda test, then, other: {"if": test, "then": then, "else": other}, SCHEMAS, SCHEMAS, SCHEMAS),
    st.builds(lambda part: {"not": part}, SCHEMAS),
    st.builds(lambda parts: {"oneOf": parts}, st.lists(SCHEMAS, min_size=1, max_size=3)),
)


@given(CONDITIONAL, VALUES)
def test_a_condition_said_as_alternatives_lets_the_same_through(schema, value):
    keyword = next(key for key in CONDITIONS if key in schema)
    said = without_condition(keyword, schema, schema)
    assert said is not None
    assert fits(said, value) == fits(schema, value)


@given(
    st.one_of(
        st.sampled_from([True, False, {}, {"type": "string"}, {"const": "a"}, {"const": 3}, {"enum": ["a", "b", 1]}]),
        st.sampled_from([{"pattern": "^a"}, {"minLength": 2}, {"type": "string", "minLength": 1, "maxLength": 2}]),
        st.sampled_from([{"type": "integer"}, {"format": "date"}, {"minLength": -1}, {"pattern": "a", "minLength": 2}]),
    ),
    st.sampled_from([{}, {"additionalProperties": {"type": "integer"}}, {"additionalProperties": False}]),
    st.dictionaries(st.text("ab", max_size=3), st.sampled_from([1, "x"]), max_size=3),
)
def test_names_written_as_properties_let_the_same_objects_through(names, others, value):
    schema = {"propertyNames": names, **others}
    written = dict(schema)
    name_properties(written)
    assert fits(written, value) == fits(schema, value)
