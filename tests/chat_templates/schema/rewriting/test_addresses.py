"""A reference by address or anchor leads where it led, as a pointer."""

import json
from pathlib import Path

import jsonschema
import pytest

from chat_templates.schema.references import references, resolve
from chat_templates.schema.rewriting.addresses import with_pointers

SUITE = Path(__file__).parents[3] / "golden" / "json_schema_test_suite"
GROUPS = {
    f"{name}: {group['description']}": group
    for name in ("anchor", "dynamicRef", "ref", "defs")
    for group in json.loads((SUITE / f"{name}.json").read_text(encoding="utf-8"))
    if with_pointers(group["schema"]) is not group["schema"]
}


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_the_same_instances_are_valid(group):
    written = with_pointers(group["schema"])
    validator = jsonschema.Draft202012Validator(written)
    for case in group["tests"]:
        assert validator.is_valid(case["data"]) == case["valid"], case["description"]


def test_many_references_can_be_written_so_and_then_all_of_a_schema():
    assert len(GROUPS) > 30
    written = [with_pointers(group["schema"]) for group in GROUPS.values()]
    assert all(reference.startswith("#") for schema in written for reference in references(schema))


def test_names_with_slashes_and_tildes_are_escaped():
    schema = {"$defs": {"a/b~c%d": {"$anchor": "x", "type": "string"}}, "properties": {"p": {"$ref": "#x"}}}
    written = with_pointers(schema)
    assert resolve(written, written["properties"]["p"]["$ref"]) == {"type": "string"}


def test_what_is_named_in_no_place_of_a_schema_is_no_name():
    schema = {"const": {"$anchor": "x"}, "properties": {"p": {"$ref": "#x"}}}
    assert with_pointers(schema) is schema
