"""watt-tool's calls in Python: what counts as a call, what its arguments are, and what the grammar makes of schemas."""

import json
import random

import jsonschema
import pytest
from byte_vocabulary import ByteVocabulary
from hypothesis import given
from hypothesis import strategies as st

from chat_templates import ToolCallArguments, fold, get_family, merge, parse_output
from server.engine.sampling.constraint import GrammarCompiler

WATT = get_family("watt-tool")


def tool(name, properties=None, **rest):
    parameters = {"type": "object", "properties": properties or {}, **rest}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


TOOLS = [tool("f", {"a": {}, "b": {}}), tool("g", {"b": {}})]


def calls(text, *, cut=False, tools=TOOLS):
    parser = WATT.parser(tools)
    message = fold([*parser.feed(text), *parser.finish(cut=cut)])
    return message.content, [(call.name, call.arguments) for call in message.tool_calls]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("[f(from=1)]", '{"from": 1}'),
        ("[f( a = 1 ,b=[ 1,2 ] )]", '{"a": 1, "b": [1, 2]}'),
        ("[f(a=(800, 600), b=(5))]", '{"a": [800, 600], "b": 5}'),
        ("[f(a=(), b=((1,2),(3,)))]", '{"a": [], "b": [[1, 2], [3]]}'),
        ("[f(1, 'two')]", '{"a": 1, "b": "two"}'),
        ("[f(a=3*7, b=2**3)]", '{"a": "3*7", "b": "2**3"}'),
        ("[f(a=g(b='x, y'), b=x.y)]", '{"a": "g(b=\'x, y\')", "b": "x.y"}'),
        ("[f(a='x' 'y', b='p' + \"q\")]", '{"a": "xy", "b": "pq"}'),
        ('[f(a="""two\nlines""")]', '{"a": "two\\nlines"}'),
        (r"[f(a=r'\d+', b='\d')]", r'{"a": "\\d+", "b": "\\d"}'),
        (r"[f(a='\u6771\x41\ud83d\ude00')]", r'{"a": "東A\ud83d\ude00"}'),
        ("[f(a=+5, b=-.5)]", '{"a": 5, "b": -0.5}'),
        ("[f(a=1.50, b=1e400)]", '{"a": 1.50, "b": 1e400}'),
        ("[f(a={'k': None, 2: true},)]", '{"a": {"k": null, "2": true}}'),
        ("<|python_tag|>[f(a=1)]", '{"a": 1}'),
        ("f(a=1)", '{"a": 1}'),
        ("f(a=1)]", '{"a": 1}'),
        ("[f(a=1)", '{"a": 1}'),
        ("```python\nf(a=1)\n```", '{"a": 1}'),
        ("[f(a=1),]", '{"a": 1}'),
        ('{"name": "f", "arguments": {"a": 1}}', '{"a": 1}'),
    ],
)
def test_a_call_of_an_offered_tool_is_read_however_it_is_spelled(text, arguments):
    assert calls(text) == (None, [("f", arguments)])
    json.loads(arguments)


@pytest.mark.parametrize(
    "text",
    [
        "[1] see the docs (v2)",
        "[link](http://x.y) and [f]",
        "Use f(a=1) for that.",
        "[nope(a=1)]",
        "[f(a='x' * 3)] is wrong",
        "[f(1, 2, 3)]",
        "[f(**{'a': 1})]",
        "[f(a={1, 2})]",
        "[f(a=)]",
        "[]",
        "```\nprint('f(a=1)')\n```",
    ],
)
def test_what_is_no_call_is_content_to_the_letter(text):
    assert calls(text) == (text, [])


def test_positional_arguments_of_unknown_tools_are_content_rather_than_lost():
    assert calls("[f('x')]", tools=None) == ("[f('x')]", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[f(a=1, b=", [("f", '{"a": 1, "b": ')]),
        ("[f(a=1, b", [("f", '{"a": 1')]),
        ("[f(a=12", [("f", '{"a": 12')]),
        ("[f(a=Tr", [("f", '{"a": ')]),
        ("[f(a={'k': 'v", [("f", '{"a": {"k": "v')]),
        ("[f(a=('x', ", [("f", '{"a": ["x"')]),
        ("[f(a=1), g", [("f", '{"a": 1}')]),
        ("[f", []),
    ],
)
def test_a_limit_leaves_of_a_call_what_was_written_and_invents_nothing(text, expected):
    assert calls(text, cut=True) == (None, expected)


def test_a_second_call_that_is_none_is_content_and_the_first_stays():
    assert calls("[f(a=1), nope(b=2)]") == (", nope(b=2)]", [("f", '{"a": 1}')])
    assert calls("[f(a=1), g(]") == (", g(]", [("f", '{"a": 1}')])
    assert calls("[f(a=1), g(b={1 2})]") == (", g(b={1 2})]", [("f", '{"a": 1}')])


def test_a_long_string_streams():
    parser = WATT.parser(TOOLS)
    parser.feed("[f(a='")
    for _ in range(50):
        assert [type(event) for event in parser.feed("x" * 5000)] == [ToolCallArguments]


@given(st.text(alphabet="[]()fg=,'\"\\ \n1a.{}:+-TN`"), st.lists(st.integers(0, 60), max_size=3), st.booleans())
def test_the_events_of_any_text_do_not_depend_on_its_cuts_and_no_text_fails(text, cuts, was_cut):
    text = "[f(" + text
    whole = WATT.parser(TOOLS)
    events = merge([*whole.feed(text), *whole.finish(cut=was_cut)])
    parser, told, at = WATT.parser(TOOLS), [], 0
    for cut in [*sorted(cuts), len(text)]:
        told += parser.feed(text[at:cut] if cut > at else "")
        at = max(at, cut)
    assert merge([*told, *parser.finish(cut=was_cut)]) == events


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    max_leaves=8,
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUES))
def test_a_call_in_history_is_read_back(arguments):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps(arguments)}}
    history = [{"role": "user", "content": "?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    before = WATT.render(history[:1], TOOLS)
    turn = WATT.render(history, TOOLS, add_generation_prompt=False)[len(before) :]
    message = parse_output("watt-tool", turn, TOOLS)
    assert message.content is None
    assert json.loads(message.tool_calls[0].arguments) == arguments


# --- the grammar -----------------------------------------------------------------------------------------------------

PROPERTIES = {
    "text": {"type": "string", "minLength": 1, "maxLength": 5},
    "exact": {"type": "boolean"},
    "n": {"type": "integer", "minimum": -3, "maximum": 12},
    "unit": {"type": "string", "enum": ["it's", 'so "so"', "c"]},
    "version": {"const": 2},
    "when": {"type": "string", "pattern": "^[0-9]{2}$"},
    "maybe": {"type": ["integer", "null"], "maximum": 1, "minimum": 0},
    "point": {
        "type": "object",
        "properties": {"x": {"type": "boolean"}, "y": {"type": "null"}},
        "required": ["x"],
    },
    "tags": {"type": "array", "items": {"enum": ["a", None, True, 1]}, "minItems": 1, "maxItems": 3},
    "tree": {"$ref": "#/$defs/tree"},
    "sizes": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 9}},
}
TREE = {
    "type": "object",
    "properties": {"leaf": {"type": "boolean"}, "left": {"$ref": "#/$defs/tree"}},
    "required": ["leaf"],
}


@pytest.fixture(scope="module")
def vocabulary():
    return ByteVocabulary()


@pytest.fixture(scope="module")
def compile_grammar(vocabulary):
    compiler = GrammarCompiler(vocabulary)
    return lambda tools, choice: compiler.compile(WATT.grammar(tools, choice, special_tokens=()))


def random_text(constraint, vocabulary, rng, max_tokens=1500):
    """A text that the grammar allows; None if it did not end in time."""
    text = b""
    for _ in range(max_tokens):
        text += b"".join(vocabulary.pieces[t] for t in constraint.forced())
        if constraint.is_finished:
            return text.decode()
        mask = constraint.mask()
        choices = [t for t in range(len(vocabulary.pieces)) if mask[t // 32] >> (t % 32) & 1]
        if vocabulary.eos in choices:
            return text.decode()
        token = rng.choice([t for t in choices if 32 <= t < 127] or choices)
        text += vocabulary.pieces[token]
        constraint.accept(token)
    return None


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("is_required", [True, False])
def test_arguments_that_the_grammar_allows_are_read_and_fit_the_schema(name, is_required, compile_grammar, vocabulary):
    rest = {"required": [name] if is_required else [], "$defs": {"tree": TREE}, "additionalProperties": False}
    tools = [tool("f", {name: PROPERTIES[name], "z": {"type": "null"}}, **rest)]
    schema = tools[0]["function"]["parameters"]
    rng = random.Random(5)
    texts = [random_text(compile_grammar(tools, "required"), vocabulary, rng) for _ in range(12)]
    read = [parse_output("watt-tool", text, tools) for text in texts if text is not None]
    assert len(read) > 3
    for message in read:
        assert message.content is None
        for call in message.tool_calls:
            jsonschema.validate(json.loads(call.arguments), schema)


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    ],
)
def test_arguments_without_a_list_of_parameters_may_have_any_names(parameters, compile_grammar, vocabulary):
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    assert accepts(compile_grammar(tools, "required"), vocabulary, "[f(x=1, y_2=2)]")
    assert accepts(compile_grammar(tools, "required"), vocabulary, "[f()]")


def accepts(constraint, vocabulary, text):
    for token in vocabulary.tokenize(text.encode(), parse_special=False):
        if not constraint.allows(token):
            return False
        constraint.accept(token)
    return constraint.is_finished or constraint.allows(vocabulary.eos)


def test_declared_order_and_canonical_spacing_are_forced_and_quotes_are_free(compile_grammar, vocabulary):
    tools = [tool("f", {"a": {"type": "string"}, "b": {"type": "integer"}}, required=["a"])]

    def is_possible(text):
        return accepts(compile_grammar(tools, "required"), vocabulary, text)

    assert is_possible("[f(a='x', b=2)]")
    assert is_possible("[f(a=\"it's\"), f(a='')]")
    assert not is_possible("[f(b=2, a='x')]")
    assert not is_possible("[f(a='x',b=2)]")
    assert not is_possible("[f(b=2)]")
    assert not is_possible("[f(a='x', b='2')]")


def test_auto_constrains_from_the_parenthesis_on_and_leaves_text_free(compile_grammar, vocabulary):
    tools = [tool("f", {"a": {"type": "boolean"}}, required=["a"])]

    def is_possible(text):
        return accepts(compile_grammar(tools, "auto"), vocabulary, text)

    assert is_possible("See [1] and f(x).")
    assert is_possible("I call it.\n[f(a=True)]")
    assert not is_possible("[f(a=1)]")
    assert not is_possible("[f(a=True)] and more")


def test_a_parameter_that_python_cannot_name_is_left_out(compile_grammar, vocabulary):
    tools = [tool("f", {"a(b)": {"type": "integer"}, "c-d": {"type": "integer"}}, required=["a(b)", "c-d"])]
    assert accepts(compile_grammar(tools, "required"), vocabulary, "[f(c-d=2)]")
    assert calls("[f(c-d=2)]", tools=tools) == (None, [("f", '{"c-d": 2}')])
