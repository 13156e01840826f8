"""What may be copied from a declaration: sentences, paths and lists, of arguments that a call may lack."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat.evidence.declaration import MAX_DESCRIPTION, Declaration

TEXT = {"type": "string", "description": "Why the user should approve this. Say it in one sentence."}
WORKDIR = {"type": "string", "description": "The working directory, e.g. /srv/app, or economy class."}
BASH = "Runs a command. Use `/var/scratch` for temporary work, and never cd."


def declaration(schema=TEXT, *, required=(), **more):
    parameters = {"type": "object", "properties": {"v": schema, "command": {"type": "string"}}, "required": required}
    return Declaration({"name": "bash", "description": BASH, "parameters": {**parameters, **more}})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TEXT, "Why the user should approve this."),
        (TEXT, "why the user should approve this"),
        (TEXT, "Say it in"),
        (WORKDIR, "/var/scratch"),
        (WORKDIR, "/srv/app"),
        ({"type": ["string", "null"]}, "/var/scratch"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, "/var/scratch"),
        ({"type": "array", "items": {"type": "string"}, "description": 'As in ["git", "pull"]'}, ["git", "pull"]),
    ],
)
def test_a_sentence_a_path_or_a_list_of_the_description_is_a_copy(schema, value):
    assert declaration(schema).offers("v")
    assert declaration(schema).is_copy("v", value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TEXT, "To read the notes, as the user wants."),
        (TEXT, "should approve"),  # may be one of several choices
        (WORKDIR, "economy class"),
        (WORKDIR, "/var"),
        (WORKDIR, "/srv/app/data"),
        (TEXT, ""),
        (TEXT, None),
        (TEXT, 3),
        (TEXT, {"why": "Why the user should approve this"}),
        (TEXT, "this Say it Why"),
        (TEXT, "one sentence Runs a command"),  # the end of one text and the beginning of another
    ],
)
def test_other_values_are_no_copies(schema, value):
    assert not declaration(schema).is_copy("v", value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "description": "why the user should"},
        {"enum": ["a b c"], "type": "string"},
        {"const": "a b c"},
        {"type": "string", "pattern": "^a b c$"},
        {"type": "string", "format": "uri"},
        {"type": ["string", "integer"]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array"},
        {"$ref": "#/$defs/text"},
        {},
        True,
    ],
)
def test_values_that_are_chosen_or_no_texts_are_not_offered(schema):
    assert not declaration(schema).offers("v")


@pytest.mark.parametrize(
    "more",
    [
        {"minProperties": 2},
        {"dependentRequired": {"command": ["v"]}},
        {"dependentSchemas": {"command": {}}},
        {"anyOf": [{"required": ["v"]}, {"required": ["command"]}]},
        {"if": {}, "then": {"required": ["v"]}},
        {"$ref": "#/$defs/all"},
        {"patternProperties": {"^v": {}}},
    ],
)
def test_nothing_is_offered_where_one_member_may_demand_another(more):
    assert declaration()
    assert not declaration(**more)


def test_what_is_required_is_not_offered():
    assert not declaration(required=["v"]).offers("v")
    assert not declaration().offers("nobody")


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": [{"v": TEXT}]},
        {"properties": {"v": TEXT}, "required": True},
        {"properties": {"v": TEXT}, "required": 3},
        {"properties": {"v": {**TEXT, "type": [{}, "string"]}}},
        {"properties": {"v": {**TEXT, "anyOf": 3, "type": 7}}},
        {"properties": {"v": [TEXT]}},
        [],
        "v",
    ],
)
def test_what_is_no_schema_offers_nothing(parameters):
    assert not Declaration({"name": "f", "parameters": parameters})


def test_long_descriptions_are_looked_at_in_part_and_in_time():
    long = {"type": "string", "description": "x " * MAX_DESCRIPTION + "/end/of/it"}
    assert not declaration(long).is_copy("v", "/end/of/it")
    many = {"type": "object", "properties": {f"v{i}": TEXT for i in range(5000)}}
    started = time.perf_counter()
    assert Declaration({"name": "f", "description": "word " * 200_000, "parameters": many})
    assert time.perf_counter() - started < 1.0


@pytest.mark.parametrize(
    "function", [{"name": "f"}, {"name": "f", "parameters": None}, {"name": "f", "parameters": {}}]
)
def test_a_function_without_parameters_offers_nothing(function):
    assert not Declaration(function)


@given(
    st.integers(0, 60), st.sampled_from(["Why the user should approve this. Say it in one sentence.", "/var/scratch"])
)
def test_every_beginning_of_a_copy_may_become_one(n, value):
    begun = f' "{value}"'[:n]
    assert declaration().may_be_copied("v", begun)


@pytest.mark.parametrize(
    "begun", ['"To read the', '[["', '[{"', '["zebra', " {", "3", "nul", '"Why the user \\n never "']
)
def test_what_has_gone_another_way_may_not(begun):
    assert not declaration().may_be_copied("v", begun + " ")
