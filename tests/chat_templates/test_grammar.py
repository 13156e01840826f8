"""What a grammar forces, the parser reads; what `auto` must leave possible, it leaves possible."""

import json
import random
from itertools import permutations

import jsonschema
import llguidance
import pytest
from byte_vocabulary import ByteVocabulary
from golden_cases import tools_named

from chat_templates import FAMILIES, get_family, parse_output
from chat_templates.thought import Thought
from server.engine.sampling.constraint import GrammarCompiler

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 12},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "maxItems": 3},
                "where": {"$ref": "#/$defs/point"},
            },
            "required": ["city", "where"],
            "$defs": {
                "point": {
                    "type": "object",
                    "properties": {"x": {"type": "boolean"}, "y": {"anyOf": [{"type": "null"}, {"const": "top"}]}},
                    "required": ["x"],
                }
            },
        },
    },
}
NOW = {"type": "function", "function": {"name": "time.now-v2"}}
TOOLS = [WEATHER, NOW]
SCHEMAS = {
    "get_weather": WEATHER["function"]["parameters"] | {"additionalProperties": False},
    "time.now-v2": {"type": "object", "maxProperties": 0},
}
ALL_FAMILIES = pytest.mark.parametrize("family_id", [name for name in FAMILIES if name != "minitron"])


@pytest.fixture(scope="module")
def vocabulary():
    return ByteVocabulary()


@pytest.fixture(scope="module")
def compiler(vocabulary):
    return GrammarCompiler(vocabulary)


@pytest.fixture(scope="module")
def compile_for(compiler, vocabulary):
    def compile_grammar(family_id, tool_choice="auto", parallel=True, tools=TOOLS, **options):
        family = get_family(family_id)
        special = [m for m in family.output.markers if m in vocabulary.special]
        return compiler.compile(family.grammar(tools, tool_choice, parallel, special_tokens=special, **options))

    return compile_grammar


def as_text(family_id, text):
    """A text with what the family writes before plain text."""
    return get_family(family_id).output.call.text_start + text


def accepts(constraint, vocabulary, text):
    """Whether the whole text, and its end, are possible."""
    for token in vocabulary.tokenize(text.encode(), parse_special=True):
        if not constraint.allows(token):
            return False
        constraint.accept(token)
    return constraint.is_finished or constraint.allows(vocabulary.eos)


def allowed(constraint, n_vocab):
    mask = constraint.mask()
    return [t for t in range(n_vocab) if mask[t // 32] >> (t % 32) & 1]


def random_walk(constraint, vocabulary, rng, max_tokens=3000):
    """A text that the grammar allows, token by random token; None if it did not end in time."""
    text = b""
    for _ in range(max_tokens):
        text += b"".join(vocabulary.pieces[t] for t in constraint.forced())
        if constraint.is_finished:
            return text.decode("utf-8", "replace")
        choices = allowed(constraint, len(vocabulary.pieces))
        # Printable ASCII and ends are preferred: walks through random UTF-8 take for ever.
        likely = [t for t in choices if t >= 256 or 32 <= t < 127] or choices
        token = vocabulary.eos if vocabulary.eos in choices and rng.random() < 0.5 else rng.choice(likely)
        if token in vocabulary.eog:
            return text.decode("utf-8", "replace")
        text += vocabulary.pieces[token]
        constraint.accept(token)
    return None


@ALL_FAMILIES
@pytest.mark.parametrize("parallel", [True, False])
def test_whatever_required_lets_through_is_read_as_calls_that_fit_their_schemas(
    family_id, parallel, compile_for, vocabulary
):
    rng = random.Random(7)
    n_read = 0
    for _ in range(40):
        text = random_walk(compile_for(family_id, "required", parallel), vocabulary, rng)
        if text is None:
            continue
        message = parse_output(family_id, text, TOOLS)
        assert message.content is None, text
        assert message.tool_calls, text
        assert parallel or len(message.tool_calls) == 1
        for call in message.tool_calls:
            jsonschema.validate(json.loads(call.arguments), SCHEMAS[call.name])
        n_read += 1
    assert n_read > 20


@ALL_FAMILIES
def test_a_named_choice_allows_one_call_of_that_tool_and_nothing_else(family_id, compile_for, vocabulary):
    rng = random.Random(3)
    choice = {"type": "function", "function": {"name": "time.now-v2"}}
    for _ in range(5):
        text = random_walk(compile_for(family_id, choice), vocabulary, rng)
        message = parse_output(family_id, text, TOOLS)
        assert [(call.name, call.arguments) for call in message.tool_calls] == [("time.now-v2", "{}")]
        assert message.content is None


@ALL_FAMILIES
@pytest.mark.parametrize(
    "text", ["", "Hello.", '{"name": "Bob", "arguments": {"x": 1}} and more', "```json\n{}\n```", "a < b"]
)
def test_auto_leaves_text_that_is_no_call_free(family_id, text, compile_for, vocabulary):
    assert accepts(compile_for(family_id), vocabulary, as_text(family_id, text))


@ALL_FAMILIES
@pytest.mark.parametrize("text", ["", "Hello."])
def test_required_forbids_plain_text(family_id, text, compile_for, vocabulary):
    assert not accepts(compile_for(family_id, "required"), vocabulary, text)
    assert not accepts(compile_for(family_id, "required"), vocabulary, as_text(family_id, text))


HEADS = {
    "bare": '{"name": "get_weather", "arguments":',
    "fenced and pretty": 'Sure:\n```json\n{\n  "name": "get_weather",\n  "arguments":',
    "parameters": '{"type": "function", "name": "get_weather", "parameters":',
    "in an array": '[{"name": "get_weather", "arguments":',
}


@ALL_FAMILIES
@pytest.mark.parametrize("head", HEADS)
def test_a_near_miss_is_constrained_from_its_arguments_on(family_id, head, compile_for, vocabulary):
    constraint = compile_for(family_id)
    begun = as_text(family_id, HEADS[head])
    for token in vocabulary.tokenize(begun.encode(), parse_special=True):
        assert constraint.allows(token)
        constraint.accept(token)
    forced = bytes(constraint.forced()).decode()
    assert forced == (' {\n    "city": "' if "\n  " in HEADS[head] else ' {"city": "')
    rng = random.Random(5)
    rest = random_walk(constraint, vocabulary, rng)
    message = parse_output(family_id, begun + forced + rest, TOOLS)
    jsonschema.validate(json.loads(message.tool_calls[0].arguments), SCHEMAS["get_weather"])


WITHOUT_CALLS_IN_HISTORY = {"minitron", "xlam-1-fc"}
ONE_CALL_A_TURN = {"llama-3.1", "llama-3.2", "gpt-oss"}


def native_turn(family, n_calls):
    """An assistant's turn with calls as the family's template prints it, cut out of the prompt."""
    call = {"id": "call00001", "type": "function", "function": {"name": "time.now-v2", "arguments": "{}"}}
    history = [{"role": "user", "content": "?"}, {"role": "assistant", "content": None, "tool_calls": [call] * n_calls}]
    # Where the prompt opens a thought, the answer of a history without thoughts begins behind it.
    closed = family.without_thinking if family.opens_thought == {} else {}
    before = family.render(history[:1], TOOLS, add_generation_prompt=True, template_kwargs=closed)
    before = before.removesuffix("".join(family.output.reasoning or ()))  # an empty thought is not in history
    turn = family.render(history, TOOLS, add_generation_prompt=False).removeprefix(before.rstrip("\n")).strip("\n")
    while turn.endswith(family.output.stop):
        turn = turn.removesuffix(next(s for s in family.output.stop if turn.endswith(s)))
    return turn


@pytest.mark.parametrize(
    ("family_id", "n_calls"),
    [
        (f, n)
        for f in FAMILIES
        for n in (1, 2)
        if f not in WITHOUT_CALLS_IN_HISTORY and (n == 1 or f not in ONE_CALL_A_TURN)
    ],
)
def test_the_native_form_of_history_is_what_the_grammar_accepts_and_the_parser_reads(
    family_id, n_calls, compile_for, vocabulary
):
    """Round trip: calls rendered into history, cut out of the prompt, accepted and read back."""
    turn = native_turn(get_family(family_id), n_calls)
    message = parse_output(family_id, turn, TOOLS)
    assert [(c.name, c.arguments) for c in message.tool_calls] == [("time.now-v2", "{}")] * n_calls
    assert message.content is None
    assert accepts(compile_for(family_id, "required"), vocabulary, turn)
    assert accepts(compile_for(family_id, "auto"), vocabulary, turn)


def test_a_marker_that_is_a_token_is_forced_as_that_token(compiler, vocabulary):
    grammar = get_family("qwen2.5").grammar(TOOLS, "required", special_tokens=("<tool_call>", "</tool_call>"))
    assert compiler.compile(grammar).forced()[0] == vocabulary.special["<tool_call>"]


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_model_with_tokens_for_reasoning_may_reason_before_it_calls(choice, compile_for, vocabulary):
    call = native_turn(get_family("qwen2.5"), 1)
    thought = "<think>\nThe user wants the time. {\n</think>\n\n"
    assert accepts(compile_for("qwen3", choice), vocabulary, thought + call)
    assert accepts(compile_for("qwen3", choice), vocabulary, call)
    assert accepts(compile_for("qwen3", choice), vocabulary, thought + "It is late.") == (choice == "auto")


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_an_answer_that_begins_in_a_thought_ends_it_before_it_calls(choice, compile_for, vocabulary):
    call = native_turn(get_family("qwen3.5"), 1)
    constraint = compile_for("qwen3.5", choice, thought=Thought(is_open=True))
    assert accepts(constraint.fork(), vocabulary, "The user wants {the time}.\n</think>\n\n" + call)
    assert accepts(constraint.fork(), vocabulary, "</think>" + call)
    assert accepts(constraint.fork(), vocabulary, "Well.</think>\n\nIt is late.") == (choice == "auto")
    assert not accepts(constraint.fork(), vocabulary, call)


def test_a_marker_that_is_no_token_is_forced_as_text(compiler):
    grammar = get_family("qwen2.5").grammar(TOOLS, "required", special_tokens=())
    assert bytes(compiler.compile(grammar).forced()).startswith(b'<tool_call>\n{"name": "')


def test_a_code_interpreter_may_be_called_with_raw_code(compiler, vocabulary):
    tools = [*TOOLS, {"type": "code_interpreter"}]
    grammar = get_family("functionary-v4r").grammar(tools, "auto", special_tokens=("<|python_tag|>",))
    code = "<|python_tag|>print({1: 2})\n"
    assert accepts(compiler.compile(grammar), vocabulary, code)
    assert parse_output("functionary-v4r", code, tools).tool_calls[0].arguments == "print({1: 2})\n"


@ALL_FAMILIES
def test_no_tools_or_no_choice_mean_no_grammar(family_id):
    family = get_family(family_id)
    assert family.grammar([], "auto") is None
    assert family.grammar(None) is None
    assert family.grammar(TOOLS, "none") is None


@ALL_FAMILIES
def test_a_response_schema_constrains_the_answer_but_not_the_calls(family_id, compile_for, vocabulary):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    answer = as_text(family_id, '{"ok": true}')
    assert accepts(compile_for(family_id, "none", response_schema=schema), vocabulary, answer)
    assert accepts(compile_for(family_id, "auto", response_schema=schema), vocabulary, answer)
    if family_id not in WITHOUT_CALLS_IN_HISTORY:
        call = native_turn(get_family(family_id), 1)
        assert accepts(compile_for(family_id, "auto", response_schema=schema), vocabulary, call)
    assert not accepts(compile_for(family_id, "auto", response_schema=schema), vocabulary, as_text(family_id, "yes"))


def test_declared_order_canonical_spacing_and_closed_objects(compile_for, vocabulary):
    def call(arguments):
        text = f'<tool_call>\n{{"name": "get_weather", "arguments": {arguments}}}\n</tool_call>'
        return accepts(compile_for("qwen2.5", "required"), vocabulary, text)

    assert call('{"city": "Rome", "unit": "celsius", "where": {"x": true}}')
    assert not call('{"city":"Rome","where":{"x":true}}')
    assert not call('{"where": {"x": true}, "city": "Rome"}')
    assert not call('{"city": "Rome", "where": {"x": true}, "extra": 1}')
    assert not call('{"city": "Rome", "where": {"x": true, "z": 1}}')


def test_a_schema_that_says_so_stays_open(compiler, vocabulary):
    parameters = {"type": "object", "properties": {}, "additionalProperties": {"type": "integer"}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    grammar = get_family("generic").grammar(tools, "required")
    assert accepts(compiler.compile(grammar), vocabulary, '{"name": "f", "arguments": {"a": 1, "b": 2}}')


def test_many_tools_make_one_grammar_that_compiles_quickly(compiler, vocabulary):
    names = [f"service_{i}.operation_{i * 7}" for i in range(100)]
    grammar = get_family("qwen2.5").grammar(tools_named(*names), "auto")
    constraint = compiler.compile(grammar)
    assert accepts(constraint, vocabulary, f'```json\n{{"name": "{names[-1]}", "arguments": {{}}}}\n```')


def test_the_parser_and_the_grammar_agree_on_llguidance_being_silent_about_warnings():
    """Warnings of llguidance tell of ambiguous or ignored parts of a grammar: there are none."""
    for family_id in FAMILIES:
        for choice in ("auto", "required"):
            grammar = get_family(family_id).grammar(TOOLS, choice, special_tokens=())
            is_error, messages = llguidance.LLMatcher.validate_grammar_with_warnings(grammar)
            assert not is_error
            assert messages == []


def near_miss(style):
    """The beginning of a call of `get_weather`, and its arguments printed as the model began."""
    arguments = {"city": "Rome", "days": [1, 2], "where": {"x": True, "y": None}}
    match style:
        case "one line":
            return json.dumps({"name": "get_weather", "arguments": arguments})
        case int():
            return json.dumps({"name": "get_weather", "arguments": arguments}, indent=style)


@pytest.mark.parametrize("style", ["one line", 1, 2, 4])
def test_a_near_miss_goes_on_as_it_began_on_one_line_or_indented(style, compile_for, vocabulary):
    text = near_miss(style)
    assert parse_output("qwen2.5", text, TOOLS).tool_calls
    if style == 2:  # lists of scalars stay on one line
        text = text.replace("[\n      1,\n      2\n    ]", "[1, 2]")
        # `where` is a reference: what is not indented by rule may be spaced freely
    assert accepts(compile_for("qwen2.5"), vocabulary, text)
    assert accepts(compile_for("qwen2.5"), vocabulary, f"```json\n{text}\n```")


@pytest.mark.parametrize("indent", [None, 2, 3, "\t"])
def test_arguments_of_every_style_leave_out_what_is_optional_and_nothing_else(indent, compiler, vocabulary):
    part = {"type": "integer", "minimum": 0, "maximum": 9}
    properties = {"a": part, "b": part, "c": {"type": "object", "properties": {"d": part, "e": part}}}
    parameters = {"type": "object", "properties": properties, "required": ["b"]}
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    grammar = get_family("qwen2.5").grammar(tools, "auto", special_tokens=())

    def is_possible(arguments):
        text = json.dumps({"name": "f", "arguments": arguments}, indent=indent)
        return accepts(compiler.compile(grammar), vocabulary, text)

    for arguments in (
        {"b": 1},
        {"a": 1, "b": 2},
        {"b": 1, "c": {"e": 1}},
        {"a": 0, "b": 1, "c": {"d": 1, "e": 2}},
        {"b": 1, "c": {}},
    ):
        assert is_possible(arguments), arguments
    for arguments in ({}, {"a": 1}, {"b": 10}, {"b": 1, "a": 1}, {"b": 1, "z": 1}, {"b": 1, "c": {"e": 1, "d": 1}}):
        assert not is_possible(arguments), arguments


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_arguments_that_are_all_optional_may_be_none_and_come_in_their_order(indent, compiler, vocabulary):
    names = ("a", "b", "c")
    parameters = {"type": "object", "properties": {name: {"type": "null"} for name in names}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    grammar = get_family("generic").grammar(tools, "auto", special_tokens=())
    for n in range(4):
        for some in permutations(names, n):
            text = json.dumps({"name": "f", "arguments": dict.fromkeys(some)}, indent=indent)
            assert accepts(compiler.compile(grammar), vocabulary, text) == (list(some) == sorted(some)), text


def test_tools_share_the_rules_of_values_that_are_alike():
    def grammar(n):
        parameters = WEATHER["function"]["parameters"]
        tools = [{"type": "function", "function": {"name": f"f{i}", "parameters": parameters}} for i in range(n)]
        return get_family("qwen2.5").grammar(tools, "auto", special_tokens=())

    assert len(grammar(20)) - len(grammar(10)) < 10 * 1000
    assert sum("maxItems" in line for line in grammar(20).splitlines()) == sum(
        "maxItems" in line for line in grammar(10).splitlines()
    )


def test_tools_with_the_same_arguments_share_the_lexemes_that_lead_to_them(compiler, vocabulary):
    """A lexeme that leads to a name may begin at each object: every mask after a brace pays for all of them."""
    place = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    alike = [{"name": name, "description": f"Does {name}.", "parameters": place} for name in "abc"]
    other = {"name": "d", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    tools = [{"type": "function", "function": function} for function in (*alike, other)]
    grammar = get_family("llama-3.1").grammar(tools, "auto", special_tokens=())
    n_layouts, n_places, n_heads = 3, 3 * 2, 2
    assert sum("[lazy]" in line for line in grammar.splitlines()) == n_layouts + n_places + n_heads
    constraint = compiler.compile(grammar)
    for name, arguments in (("a", '{"city": "Rome"}'), ("c", '{"city": "Rome"}'), ("d", '{"n": 1}')):
        assert accepts(constraint.fork(), vocabulary, f'{{"name": "{name}", "parameters": {arguments}}}')
    assert not accepts(constraint.fork(), vocabulary, '{"name": "d", "parameters": {"city": "Rome"}}')
    assert not accepts(constraint.fork(), vocabulary, '{"name": "b", "parameters": {"n": 1}}')
    assert accepts(constraint.fork(), vocabulary, '{"name": "e", "parameters": {"n": 1}}')  # no tool: free text


def test_a_tool_whose_schema_refers_to_its_own_root_can_still_be_indented(compiler, vocabulary):
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}, "leaf": {"type": "boolean"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": tree}}]
    grammar = get_family("qwen2.5").grammar(tools, "auto", special_tokens=())
    text = json.dumps({"name": "f", "arguments": {"child": {"leaf": True}}}, indent=2)
    assert accepts(compiler.compile(grammar), vocabulary, text)
