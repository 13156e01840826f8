"""Nothing is accepted that the given schema rejects, and what cannot be enforced is named with its place."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import jsonschema
import pytest
from byte_vocabulary import ByteVocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_templates.schema.dialect import in_2020_12
from chat_templates.schema.enforcement import enforce, enforce_arguments
from chat_templates.schema.limits import MAX_DEPTH, MAX_PROPERTIES, SchemaLimitError
from chat_templates.schema.parameters import arguments_schema, one_line
from chat_templates.schema.pattern import PatternError, PatternLimitError, portable
from server.engine.sampling.constraint import GrammarCompiler, GrammarError

VOCABULARY = ByteVocabulary()
CAT = {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}, "required": ["kind"]}
DOG = {"type": "object", "properties": {"kind": {"const": "dog"}, "name": {"type": "string"}}, "required": ["kind"]}


@pytest.fixture(scope="module")
def compiler():
    return GrammarCompiler(VOCABULARY)


def of(schema, **root):
    return {"type": "object", "properties": {"v": schema}, "required": ["v"], **root}


def accepts(compiler, parameters, value):
    enforcement = enforce_arguments(parameters)
    assert enforcement.faults == ()
    constraint = compiler.compile("start: %json " + json.dumps(one_line(arguments_schema(enforcement.enforced))))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    for token in text.encode():
        if not constraint.allows(token):
            return False
        constraint.accept(token)
    return constraint.is_finished or constraint.allows(VOCABULARY.eos)


@pytest.mark.parametrize(
    ("schema", "path", "keyword"),
    [
        ({"not": {"uniqueItems": True}}, ".properties.v", "not"),
        ({"type": "array", "items": {"uniqueItems": True}}, ".properties.v.items", "uniqueItems"),
        ({"anyOf": [{}, {"if": {"pattern": "a"}, "then": {"minLength": 2}}]}, ".properties.v.anyOf[1]", "if"),
        ({"$defs": {"a": {"contains": {}}}}, ".properties.v.$defs.a", "contains"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, ".properties.v", "oneOf"),
        ({"pattern": "^(?=a)"}, ".properties.v", "pattern"),
        ({"pattern": r"(a)\1"}, ".properties.v", "pattern"),
        ({"patternProperties": {r"\bx": {}}}, ".properties.v", "patternProperties"),
        ({"$ref": "https://example.com/x"}, ".properties.v", "$ref"),
        ({"$ref": "#/$defs/missing"}, ".properties.v", "$ref"),
        ({"$dynamicRef": "#x"}, ".properties.v", "$dynamicRef"),
        ({"type": "money"}, ".properties.v", "type"),
        ({"required": True}, ".properties.v", "required"),
        ({"items": 3}, ".properties.v", "items"),
        ({"const": 2**53 + 1}, ".properties.v", "const"),
        ({"enum": [["a\0b"]]}, ".properties.v", "enum"),
        ({"maximum": 1e300}, ".properties.v", "maximum"),
        ({"minProperties": 2}, ".properties.v", "minProperties"),
        ({"dependencies": {"a": {"uniqueItems": True}}}, ".properties.v", "dependentSchemas"),
        ({"allOf": [{"multipleOf": 65537}, {"multipleOf": 65539}]}, ".properties.v.allOf[0]", "multipleOf"),
    ],
)
def test_what_cannot_be_enforced_is_named_and_left_out_at_its_place(schema, path, keyword):
    beside = {"w": {"type": "integer", "minimum": 3}}
    enforcement = enforce_arguments({**of(schema), "properties": {"v": schema, **beside}})
    assert (enforcement.faults[0].path, enforcement.faults[0].keyword) == (path, keyword)
    assert enforcement.faults[0].reason
    assert enforcement.enforced["required"] == ["v"]
    assert enforcement.enforced["properties"]["w"] == beside["w"]
    jsonschema.Draft202012Validator.check_schema(enforcement.enforced)
    jsonschema.Draft202012Validator.check_schema(enforcement.given)


@pytest.mark.parametrize(
    ("schema", "enforced"),
    [
        ({"type": "string", "pattern": "^(?=a)", "minLength": 2}, {"type": "string", "minLength": 2}),
        ({"type": "array", "uniqueItems": True, "maxItems": 3}, {"type": "array", "maxItems": 3}),
        ({"type": "string", "required": True}, {"type": "string"}),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, {"anyOf": [{"type": "integer"}, {"type": "number"}]}),
        ({"type": "integer", "if": {"multipleOf": 3}, "then": {"maximum": 9}}, {"type": "integer"}),
        ({"$ref": "#/nowhere", "type": "object"}, {"type": "object"}),
        ({"type": "object", "properties": {"a": 3}}, {"type": "object", "properties": {"a": True}}),
        (
            {"type": "object", "properties": {"a": {}}, "dependentSchemas": {"a": {"uniqueItems": True}}},
            {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        ),
        (
            {"type": "object", "patternProperties": {"^x": {}, r"\by": {}}, "additionalProperties": False},
            {"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": True},
        ),
    ],
)
def test_beside_what_is_left_out_everything_stays(schema, enforced):
    assert enforce_arguments(of(schema)).enforced["properties"]["v"] == enforced


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "float"}, [1.5, 2], ["x", None]),
        ({"type": "dict"}, [{}], [[], 1]),
        ({"type": ["String", "NULL"]}, ["a", None], [1]),
        ({"type": "any"}, [1, "a", None], []),
        ({"type": "string", "nullable": True}, ["a", None], [1]),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": True, "anyOf": [{}]}, [4], [3]),
        ({"items": [{"type": "string"}], "additionalItems": False, "type": "array"}, [["a"], []], [[1], ["a", 2]]),
        ({"type": "array", "prefixItems": [{"type": "string"}], "additionalItems": False}, [["a", 1]], [[1]]),
        ({"format": "made-up", "type": "string"}, ["a"], [1]),
        ({"format": "ipv4", "type": "string"}, ["1.2.3.4"], ["1.2.3"]),
        ({"x-anything": {"not": {}}, "type": "null", "description": "d", "deprecated": True}, [None], [1]),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, ["a", None], [1]),
        ({"oneOf": [{"const": 1, "title": "one"}, {"const": 2}]}, [1, 2], [3]),
        ({"type": "object", "properties": {"a": {}}, "unevaluatedProperties": False}, [{"a": 1}], [{"b": 1}]),
        (
            {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "null"}},
            [{"a": None}],
            [{"a": 1}],
        ),
        ({"type": "string", "minLength": 2.0}, ["ab"], ["a"]),
        ({"type": "string", "pattern": "^.$"}, ["a", "é"], ["\n", "\r", "\u2028"]),
        ({"type": "string", "pattern": "^[[&]$"}, ["[", "&"], ["a"]),
        ({"type": "string", "pattern": "(x+x+)+y"}, ["xxy"], ["x" * 40]),
        ({"type": "object", "properties": {"a": {}}, "minProperties": 1}, [{"a": 1}], [{}]),
        (True, [1, "a"], []),
        ({"anyOf": [{"anyOf": [{"not": {}}, {"type": "string"}]}, {"type": "null"}]}, ["a", None], [1]),
        ({"oneOf": [{"not": True}, {"type": "string"}]}, ["a"], [1, None]),
        ({"type": "object", "properties": []}, [{}], [{"a": 1}, []]),
        ({"type": "object", "properties": [], "additionalProperties": {"type": "null"}}, [{"a": None}], [{"a": 1}]),
        ({"type": "integer", "minimum": 0, "maximum": 2**63 - 1}, [0, 2**53 + 1, 2**63 - 1], [-1, 2**63]),
        ({"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**64 - 1}, [None, -(2**60), 5], [1.5, 2**64]),
        (
            {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "integer"}},
            [{}, {"b": 2}, {"a": 1, "b": 2}],
            [{"c": 1}, {"a": "x"}],
        ),
        ({"type": "object", "propertyNames": {"type": "string", "enum": ["a"]}, "required": ["a"]}, [{"a": []}], [{}]),
        (
            {"type": "object", "propertyNames": {"type": "string", "minLength": 2}, "additionalProperties": {}},
            [{}, {"ab": 1}],
            [{"a": 1}],
        ),
        ({"type": "object", "propertyNames": {"pattern": "^x"}}, [{"xy": 1}], [{"a": 1}]),
        ({"type": "string", "not": {"enum": ["a", "ab"]}}, ["", "b", "abc", "ba"], ["a", "ab", 1]),
        ({"type": ["string", "null"], "not": {"type": "null"}}, ["a"], [None]),
        (
            {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"b": ["a"]}},
            [{}, {"a": 1}, {"a": 1, "b": 2}],
            [{"b": 1}, {"c": 1}],
        ),
        (
            {"type": "object", "properties": {"a": {}, "b": {}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            [{"a": 1}, {"b": 1}],
            [{}, {"a": 1, "b": 2}, {"a": 1, "c": 2}],
        ),
        (
            {
                "type": "object",
                "properties": {"kind": {"enum": ["file", "url"]}, "path": {"type": "string"}},
                "required": ["kind"],
                "if": {"properties": {"kind": {"const": "file"}}},
                "then": {"required": ["path"]},
                "else": {"properties": {"path": False}},
            },
            [{"kind": "file", "path": "x"}, {"kind": "url"}],
            [{"kind": "file"}, {"kind": "url", "path": "x"}, {"kind": "url", "other": 1}],
        ),
        (
            {"$id": "https://example.org/v", "$defs": {"s": {"$anchor": "s", "type": "string"}}, "$ref": "#s"},
            ["a"],
            [1],
        ),
    ],
)
def test_what_clients_send_every_day_is_enforced(compiler, schema, valid, invalid):
    for value in valid:
        assert accepts(compiler, of(schema), {"v": value}), value
    for value in invalid:
        assert not accepts(compiler, of(schema), {"v": value}), value


def test_a_discriminated_union_of_references_is_enforced(compiler):
    parameters = of(
        {"oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}], "discriminator": {"propertyName": "kind"}},
        **{"$defs": {"Cat": CAT, "Dog": DOG}},
    )
    assert accepts(compiler, parameters, {"v": {"kind": "cat", "lives": 9}})
    assert not accepts(compiler, parameters, {"v": {"kind": "dog", "lives": 9}})


def test_the_member_that_tells_alternatives_apart_is_required_where_it_has_a_default(compiler):
    """As pydantic prints `kind: Literal["cat"] = "cat"`; in a union that refers to itself, too."""
    both = {"oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Pack"}], "discriminator": {"propertyName": "kind"}}
    cat = {"type": "object", "properties": {"kind": {"const": "cat", "default": "cat"}, "lives": {"type": "integer"}}}
    pack = {"type": "object", "properties": {"kind": {"const": "pack"}, "of": {"type": "array", "items": both}}}
    parameters = of(both, **{"$defs": {"Cat": cat, "Pack": pack}})
    assert accepts(compiler, parameters, {"v": {"kind": "cat", "lives": 9}})
    assert accepts(compiler, parameters, {"v": {"kind": "pack", "of": [{"kind": "cat"}, {"kind": "pack"}]}})
    assert not accepts(compiler, parameters, {"v": {"lives": 9}})  # fits both, so not one of them
    assert "required" not in cat
    untold = of({key: value for key, value in both.items() if key != "discriminator"}, **{"$defs": parameters["$defs"]})
    del untold["$defs"]["Pack"]["properties"]["of"]
    assert enforce(untold).faults[0].keyword == "oneOf"


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "integer", "maximum": 2**53 + 1}, "maximum"),
        ({"type": "number", "maximum": 2**63 - 1}, "maximum"),
        ({"type": "integer", "maximum": 2**63 - 1, "multipleOf": 3}, "maximum"),
        ({"propertyNames": {"enum": ["a"]}, "properties": {"b": {}}}, "propertyNames"),
        ({"propertyNames": {"enum": ["a"], "minLength": 1}}, "propertyNames"),
        ({"not": {"type": "integer"}}, "not"),
        ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, "oneOf"),
        ({"not": {"enum": [str(i) for i in range(30)]}}, "not"),
    ],
)
def test_what_is_only_like_it_stays_degraded(schema, keyword):
    assert [fault.keyword for fault in enforce(schema).faults] == [keyword]


def test_recursion_with_an_end_is_enforced(compiler):
    tree = {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["v"]}
    assert accepts(compiler, tree, {"v": 1, "next": {"v": 2, "next": {"v": 3}}})
    assert not accepts(compiler, tree, {"v": 1, "next": {"next": {"v": 3}}})


def test_definitions_that_are_parts_of_others_stay_open(compiler):
    base = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
    parameters = of(
        {"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"name": {"type": "string"}}, "required": ["name"]}]},
        **{"$defs": {"base": base}},
    )
    assert accepts(compiler, parameters, {"v": {"id": 1, "name": "a"}})
    assert not accepts(compiler, parameters, {"v": {"id": "x", "name": "a"}})


def test_a_listed_key_cannot_be_spelled_around_its_schema(compiler):
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": True}
    assert accepts(compiler, parameters, '{"b": "x"}')
    assert not accepts(compiler, parameters, '{"a": "x"}')
    assert not accepts(compiler, parameters, '{"\\u0061": "x"}')


@pytest.mark.parametrize("root", [["object", "null"], "dict", None])
def test_arguments_are_objects_whatever_the_root_says(compiler, root):
    parameters = {**of({"type": "integer"}), "type": root}
    if root is None:
        del parameters["type"]
    assert accepts(compiler, parameters, {"v": 1})
    assert not accepts(compiler, parameters, "null")


def test_a_root_that_is_no_object_is_degraded():
    assert enforce_arguments({"type": "string"}).faults[0].keyword == "type"
    assert enforce({"type": "string"}).faults == ()


def chain(n, wrap):
    definitions = {f"d{i}": wrap({"$ref": f"#/$defs/d{i + 1}"}) for i in range(n)}
    return of({"$ref": "#/$defs/d0"}, **{"$defs": {**definitions, f"d{n}": {"type": "integer"}}})


def nested(n):
    schema = {"type": "integer"}
    for _ in range(n):
        schema = {"type": "array", "items": schema}
    return of(schema)


PATHOLOGICAL = {
    "a chain of references": chain(5000, lambda ref: ref),
    "a chain of properties": chain(5000, lambda ref: {"type": "object", "properties": {"x": ref}}),
    "depth": nested(MAX_DEPTH),
    "properties": {"type": "object", "properties": {f"p{i}": {} for i in range(MAX_PROPERTIES + 1)}},
    "subschemas": of({"anyOf": [{"prefixItems": [{}] * 300}] * 300}),
    "enum of lists": of({"enum": [[i] for i in range(5000)]}),
    "enum": of({"enum": list(range(30_000))}),
    "alternatives": of({"anyOf": [{"const": i} for i in range(500)]}),
    "minLength": of({"type": "string", "minLength": 100_000}),
    "minItems": of({"type": "array", "minItems": 1e9}),
    "patterns of names": of({"patternProperties": {f"^x{i}_[a-z]+$": {} for i in range(400)}}),
    "enum of objects": of({"enum": [{"a": [i, i]} for i in range(300)]}),
    "repetitions": of({"pattern": "(a{1,1000}){1,1000}"}),
    "a long pattern": of({"pattern": "a?" * 3000}),
    "recursion into itself": of({"$ref": "#/properties/v"}),
    "recursion without an end": of({"$ref": "#"}),
    "mutual recursion": of(
        {"$ref": "#/$defs/a"},
        **{"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}},
    ),
    "recursive items": of({"type": "array", "minItems": 1, "items": {"$ref": "#/properties/v"}}),
}


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_a_pathological_schema_is_refused_within_a_second(name):
    started = time.process_time()
    with pytest.raises(SchemaLimitError) as caught:
        enforce_arguments(PATHOLOGICAL[name])
    assert time.process_time() - started < 1.0
    assert caught.value.reason


def test_a_large_but_honest_schema_passes_the_limits():
    tool = {f"arg{i}": {"type": "string", "description": "words " * 20, "enum": ["a", "b"]} for i in range(150)}
    assert enforce_arguments({"type": "object", "properties": tool, "required": ["arg0"]}).faults == ()


def test_the_callers_schema_is_not_modified():
    schema = of({"type": "float", "items": [{}], "dependencies": {"a": ["b"]}, "oneOf": [{"const": 1}]})
    before = json.dumps(schema)
    enforce_arguments(schema)
    assert json.dumps(schema) == before


@given(st.text(alphabet=r"ab01()[]{}|*+?^$.\-,:=!<>dswSuxpP&~é" + "\n\x01", max_size=14))
@settings(max_examples=300)
def test_no_pattern_whatsoever_breaks_the_compiler(compiler, pattern):
    try:
        written = portable(pattern)
    except PatternError:
        return
    with suppress(GrammarError):
        compiler.compile("start: %json " + json.dumps({"type": "string", "pattern": written}))


def test_repetitions_multiply_through_groups():
    assert portable("(a{100}){100}") == "(a{100}){100}"
    with pytest.raises(PatternLimitError):
        portable("(b|(a{100}){100}){3}")


leaves = st.sampled_from(
    [
        {"type": "integer", "minimum": 2, "maximum": 5},
        {"type": "number", "exclusiveMinimum": -1, "multipleOf": 2.5},
        {"type": "string", "maxLength": 2},
        {"type": ["string", "null"], "pattern": "^a"},
        {"enum": ["a", 1, None, [1]]},
        {"const": {"a": 1}},
        {"type": "boolean"},
        {"minimum": 3},
        {"minLength": 2},
        True,
        {"not": {}},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
        {"propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "integer"}},
        {"$ref": "#/$defs/node"},
    ]
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items, "maxItems": 2}, inner),
        st.builds(
            lambda first, rest: {"prefixItems": first, "items": rest}, st.lists(inner, min_size=1, max_size=2), inner
        ),
        st.builds(
            lambda properties, required: {"type": "object", "properties": properties, "required": required},
            st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            st.lists(st.sampled_from("ab"), unique=True),
        ),
        st.builds(
            lambda properties, rest: {"properties": properties, "additionalProperties": rest},
            st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            inner,
        ),
        st.builds(
            lambda key, options: {key: options},
            st.sampled_from(["anyOf", "oneOf", "allOf"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(
            lambda one, other: {**one, **other} if isinstance(one, dict) and isinstance(other, dict) else one,
            inner,
            inner,
        ),
    ),
    max_leaves=6,
)
scalars = st.sampled_from([None, True, False, 0, 1, 2, 3, 5, 2.5, -1, "", "a", "ab", "abc", "b"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda d: dict(sorted(d.items())))
    ),
    max_leaves=6,
)
NODE = {"type": "object", "properties": {"a": {"$ref": "#/$defs/node"}, "b": {"type": "integer"}}}


@given(schema=schemas, value=values)
@settings(max_examples=1500)
def test_no_value_is_accepted_that_the_schema_rejects(compiler, schema, value):
    parameters = of(schema, **{"$defs": {"node": NODE}})
    enforcement = enforce_arguments(parameters)
    if enforcement.faults:
        return
    try:
        is_accepted = accepts(compiler, parameters, {"v": value})
    except GrammarError:
        return
    if is_accepted:
        jsonschema.Draft202012Validator(in_2020_12(parameters)).validate({"v": value})
