"""The layout of the TypeScript schema, rule by rule, as the models were trained on it."""

import pytest

from chat_templates.typescript import typescript_namespace

HEAD = "// Supported function definitions that should be called when necessary.\nnamespace functions {\n\n"


def function(properties, required=()):
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": "f", "description": "Does f", "parameters": parameters}}


def printed(schema, *, required=(), name="p"):
    """The lines of one property."""
    text = typescript_namespace([function({name: schema}, required)])
    head, tail = f"{HEAD}// Does f\ntype f = (_: {{\n", "\n}) => any;\n\n} // namespace functions"
    assert text.startswith(head)
    assert text.endswith(tail)
    return text.removeprefix(head).removesuffix(tail)


def test_no_tools_make_an_empty_namespace():
    assert typescript_namespace(None) == typescript_namespace([]) == f"{HEAD}}} // namespace functions"


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object"}, {"type": "object", "properties": {}}])
def test_a_function_without_properties_takes_nothing(parameters):
    tool = {"type": "function", "function": {"name": "now", "description": "The time", "parameters": parameters}}
    assert typescript_namespace([tool]) == f"{HEAD}// The time\ntype now = () => any;\n\n}} // namespace functions"


def test_tools_without_a_name_are_skipped_and_bare_functions_are_not():
    bare = {"name": "now", "description": "", "parameters": {}}
    text = typescript_namespace([{"type": "code_interpreter"}, bare])
    assert text == f"{HEAD}// \ntype now = () => any;\n\n}} // namespace functions"


def test_a_required_property_has_no_question_mark():
    assert printed({"type": "string"}, required=["p"]) == "p: string,"
    assert printed({"type": "string"}) == "p?: string,"


@pytest.mark.parametrize(
    ("schema", "comment"),
    [
        ({"description": "A name"}, "// A name."),
        ({"description": "A name."}, "// A name."),
        ({"default": "x"}, '// Default="x".'),
        ({"type": "boolean", "default": True}, "// Default=True."),
        ({"type": "array", "items": {}, "default": ["p"]}, "// Default=['p']."),
        ({"type": "null", "default": None}, "// Default=None."),
        ({"format": "date-time"}, "// Format=date-time"),
        ({"maximum": 36}, "// Maximum=36"),
        ({"maximum": 120, "minimum": 0}, "// Maximum=120 Minimum=0"),
        ({"minLength": 2, "maxLength": 3}, "// Maximum length=3 Minimum length=2"),
        (
            {"description": "All", "default": "d", "format": "f", "maximum": 1, "minimum": 2},
            '// All. Default="d". Format=f Maximum=1 Minimum=2',
        ),
    ],
)
def test_what_a_property_says_of_itself_becomes_a_comment(schema, comment):
    assert printed({"type": "string", **schema}).splitlines()[0] == comment


@pytest.mark.parametrize("schema", [{"minimum": 0}, {"maxLength": 0, "maximum": 0}, {"description": None}, {}])
def test_limits_of_zero_and_absent_descriptions_make_no_comment(schema):
    assert printed({"type": "string", **schema}) == "p?: string,"


@pytest.mark.parametrize(
    ("formats", "line"),
    [
        (["date-time", "date"], "// Format=date-time or date"),
        (["date", None, "time"], "// Format=date or time"),
        (["date", "date"], "// Format=datedate"),
        ([None, None], "// Format="),
    ],
)
def test_the_formats_of_alternatives_are_joined(formats, line):
    one_of = [{"type": "string", **({"format": f} if f else {})} for f in formats]
    assert printed({"oneOf": one_of}) == f"{line}\np?: string,"


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer"}, "number"),
        ({"type": "float"}, "number"),
        ({"type": "number"}, "number"),
        ({"type": ["integer", "string"]}, "integer | string"),
        ({"type": ["integer"]}, "number"),
        ({"type": ["object", "null"]}, "object | null"),
        ({"anyOf": [{"type": "string"}]}, ""),
        ({"$ref": "#/$defs/x"}, ""),
        ({}, ""),
        ({"type": "string", "enum": ["a", 1, True, None]}, '"a" | 1 | True | None'),
        ({"enum": ["a", "b", "a", "b"]}, '"a" | "b""a" | "b"'),
        ({"type": "string", "nullable": True}, "string | null"),
        ({"type": "string", "enum": ["a"], "nullable": True}, '"a" | null'),
        ({"type": "string", "nullable": False}, "string"),
    ],
)
def test_types_are_converted_only_alone(schema, kind):
    assert printed(schema) == f"p?: {kind},"


def test_the_types_of_alternatives_are_joined_without_repetition():
    alternatives = [{"type": "integer"}, {"type": "string"}, {"type": "integer"}]
    assert printed({"oneOf": alternatives}).splitlines()[-1] == "p?: integer | string,"
    assert printed({"oneOf": alternatives[::2]}).splitlines()[-1] == "p?: number,"


def test_an_object_is_indented_by_four_for_each_depth():
    inner = {"type": "object", "properties": {"b": {"type": "string", "description": "B"}}, "required": ["b"]}
    outer = {"type": "object", "properties": {"a": inner}, "nullable": True, "enum": [1]}
    assert printed(outer) == "p?: {\n    a?: {\n        // B.\n        b: string,\n    },\n},"
    assert printed({"type": "object"}) == "p?: {\n},"


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({}, "[]"),
        ({"items": {}}, "[]"),
        ({"items": {"enum": ["a"]}}, "[]"),
        ({"items": True}, "[]"),
        ({"items": {"type": "integer"}}, "number[]"),
        ({"items": {"type": "string", "enum": ["a", "b"]}}, '("a" | "b")[]'),
        ({"items": {"type": "array", "items": {"type": "string"}}}, "string[][]"),
        ({"items": {"type": "array", "items": {"type": "string", "enum": ["a"]}}}, '("a")[][]'),
        ({"items": {"type": "array"}}, "[][]"),
        ({"items": {"type": "object", "properties": {"a": {"type": "string"}}}}, "{\n    a?: string,\n}[]"),
        (
            {"items": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            "{\n        a?: string,\n    }[][]",
        ),
    ],
)
def test_arrays_are_printed_by_their_items(schema, kind):
    assert printed({"type": "array", "nullable": True, "enum": [[1]], **schema}) == f"p?: {kind},"


def test_examples_of_a_scalar_need_a_comment_and_others_do_not():
    assert printed({"type": "string", "examples": ["it's"]}) == "p?: string,"
    lines = printed({"type": "string", "description": "D", "examples": ["it's", 2]}).splitlines()
    assert lines == ["// D.", "// Example p:", '// it"s', "// 2", "p?: string,"]
    array = {"type": "array", "items": {"type": "string"}, "examples": [["1", "2"]]}
    assert printed(array).splitlines() == ["// Example p:", '// ["1", "2"]', "p?: string[],"]
    nested = {"type": "object", "properties": {"o": {"type": "object", "examples": [{"a": "b\n"}]}}}
    assert printed(nested).splitlines()[1:3] == ["    // Example o:", '    // {"a": "b\\n"}']
    assert printed({"type": "array", "examples": [[1]]}) == "p?: [],"


def test_properties_that_are_no_schemas_are_skipped():
    text = typescript_namespace([function({"yes": True, "p": {"type": "string"}})])
    assert "yes" not in text
    assert "p?: string," in text
