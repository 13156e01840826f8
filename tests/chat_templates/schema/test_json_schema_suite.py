"""The JSON Schema Test Suite, draft 2020-12, through the real builder and the real compiler.

Each schema of the suite becomes the property `value` of a tool's arguments. `tests/golden/json_schema_2020_12.json` is
the ratchet: which groups are enforced, degraded or refused, and how many valid instances an enforced group rejects
(objects are closed unless they say otherwise, formats are enforced by shape, numbers have one spelling). Write it anew
with `FUNCTIONGATE_UPDATE_GOLDEN=1`. Left out: what needs other documents (`refRemote`, `vocabulary`, and schemas that
refer to an address).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest
from byte_vocabulary import ByteVocabulary

from chat_templates.schema.enforcement import enforce_arguments
from chat_templates.schema.limits import SchemaLimitError
from chat_templates.schema.parameters import arguments_schema, one_line
from server.engine.sampling.constraint import GrammarCompiler, GrammarError

GOLDEN = Path(__file__).parents[2] / "golden"
SUITE = GOLDEN / "json_schema_test_suite"
RATCHET = GOLDEN / "json_schema_2020_12.json"
NEEDS_OTHER_DOCUMENTS = {"refRemote", "vocabulary"}
VOCABULARY = ByteVocabulary()
FILES = sorted(path.stem for path in SUITE.glob("*.json") if path.stem not in NEEDS_OTHER_DOCUMENTS)


@pytest.fixture(scope="module")
def compiler():
    return GrammarCompiler(VOCABULARY)


def relocated(schema):
    """The schema as a property's: its references to itself lead to where it is now."""
    if isinstance(schema, dict):
        return {
            key: f"#/properties/value{part[1:]}"
            if key == "$ref" and isinstance(part, str) and (part == "#" or part.startswith("#/"))
            else relocated(part)
            for key, part in schema.items()
        }
    if isinstance(schema, list):
        return [relocated(part) for part in schema]
    return schema


def refers_to_an_address(schema):
    if isinstance(schema, dict):
        return any(
            (key == "$ref" and isinstance(part, str) and part.startswith("http")) or refers_to_an_address(part)
            for key, part in schema.items()
        )
    return isinstance(schema, list) and any(map(refers_to_an_address, schema))


def parameters_of(schema):
    has_base = isinstance(schema, dict) and "$id" in schema
    return {
        "type": "object",
        "properties": {"value": schema if has_base else relocated(schema)},
        "required": ["value"],
    }


def accepts(constraint, text):
    for token in VOCABULARY.tokenize(text.encode(), parse_special=False):
        if not constraint.allows(token):
            return False
        constraint.accept(token)
    return constraint.is_finished or constraint.allows(VOCABULARY.eos)


def judge(compiler, group):
    """The group's status, and the numbers of wrong acceptances and of false rejections if it is enforced."""
    try:
        enforcement = enforce_arguments(parameters_of(group["schema"]))
    except SchemaLimitError:
        return "refused", 0, 0
    if enforcement.faults:
        return "degraded: " + enforcement.faults[0].keyword, 0, 0
    try:
        grammar = "start: %json " + json.dumps(one_line(arguments_schema(enforcement.enforced)))
        constraint = compiler.compile(grammar)
    except GrammarError:
        return "degraded: by the compiler", 0, 0
    n_wrong = n_rejected = 0
    for case in group["tests"]:
        is_accepted = accepts(constraint.fork(), json.dumps({"value": case["data"]}, ensure_ascii=False))
        n_wrong += is_accepted and not case["valid"]
        n_rejected += case["valid"] and not is_accepted
    return "enforced", n_wrong, n_rejected


def groups(name):
    for group in json.loads((SUITE / f"{name}.json").read_text(encoding="utf-8")):
        if not refers_to_an_address(group["schema"]):
            yield group


@pytest.fixture(scope="module")
def judged(compiler):
    return {name: {group["description"]: judge(compiler, group) for group in groups(name)} for name in FILES}


def test_no_instance_is_accepted_that_an_enforced_schema_rejects(judged):
    wrong = [(name, group) for name, found in judged.items() for group, (_, n_wrong, _) in found.items() if n_wrong]
    assert wrong == []


@pytest.mark.parametrize("name", FILES)
def test_where_a_keyword_is_left_out_no_valid_instance_is_forbidden(name):
    for group in groups(name):
        try:
            enforcement = enforce_arguments(parameters_of(group["schema"]))
        except SchemaLimitError:
            continue
        if not enforcement.faults:
            continue
        validator = jsonschema.Draft202012Validator(enforcement.enforced)
        forbidden = [
            case for case in group["tests"] if case["valid"] and not validator.is_valid({"value": case["data"]})
        ]
        assert forbidden == [], group["description"]


def test_what_was_enforced_stays_enforced(judged):
    found = {
        name: {
            group: status if n_rejected == 0 else f"{status}, rejects {n_rejected} valid"
            for group, (status, _, n_rejected) in found.items()
        }
        for name, found in judged.items()
    }
    if os.environ.get("FUNCTIONGATE_UPDATE_GOLDEN"):
        RATCHET.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert found == json.loads(RATCHET.read_text(encoding="utf-8"))
