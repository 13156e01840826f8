"""A thought ends at its bound, and before it wherever the model ends it."""

import pytest
from byte_vocabulary import ByteVocabulary

from chat_templates import get_family
from chat_templates.thought import Thought
from server.engine.sampling.constraint import GrammarCompiler

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
XML_CALL = "<tool_call>\n<function=f>\n</function>\n</tool_call>"
TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
VOCABULARY = ByteVocabulary()
COMPILER = GrammarCompiler(VOCABULARY)


def compiled(family_id, thought, *, choice="auto", tools=TOOLS, special=TOKENS):
    grammar = get_family(family_id).grammar(tools, choice, special_tokens=special, thought=thought)
    return None if grammar is None else COMPILER.compile(grammar)


def n_accepted(constraint, text, *, special=TOKENS):
    """How many tokens of a text are possible, from its beginning on."""
    for n, token in enumerate(tokens := VOCABULARY.tokenize(text.encode(), parse_special=bool(special))):
        if not constraint.allows(token):
            return n
        constraint.accept(token)
    return len(tokens)


def is_whole(constraint, text, *, special=TOKENS):
    n = len(VOCABULARY.tokenize(text.encode(), parse_special=bool(special)))
    return n_accepted(constraint, text, special=special) == n and (
        constraint.is_finished or constraint.allows(VOCABULARY.eos)
    )


@pytest.mark.parametrize("choice", ["auto", "required"])
@pytest.mark.parametrize("bound", [1, 2, 20, 40])
@pytest.mark.parametrize(("special", "n_characters"), [(TOKENS, 1), ((), 4)], ids=["tokens", "text"])
def test_an_open_thought_ends_at_its_bound(choice, bound, special, n_characters):
    """Tokens are counted; where none marks the end, four characters for each."""
    longest = bound * n_characters
    constraint = compiled("qwen3.5", Thought(is_open=True, max_tokens=bound), choice=choice, special=special)
    assert n_accepted(constraint.fork(), "x" * 999) == longest
    for n in (0, longest // 2, longest):
        assert is_whole(constraint.fork(), f"{'x' * n}</think>\n\n{XML_CALL}", special=special)


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_thought_that_the_answer_opens_ends_at_its_bound(choice):
    constraint = compiled("qwen3", Thought(max_tokens=7), choice=choice)
    assert n_accepted(constraint.fork(), "<think>" + "x" * 99) == 8
    for n in range(8):
        assert is_whole(constraint.fork(), f"<think>{'x' * n}</think>\n\n{CALL}")
    assert is_whole(constraint.fork(), CALL)


def test_a_plain_answer_is_held_to_the_bound_of_its_thought_and_to_nothing_else():
    constraint = compiled("qwen3", Thought(max_tokens=7), tools=())
    assert is_whole(constraint.fork(), "<think>x</think>\n\nAny {text}\n<b>.")
    assert is_whole(constraint.fork(), "Any {text}.")
    assert n_accepted(constraint.fork(), "<think>" + "x" * 99) == 8


@pytest.mark.parametrize("choice", ["auto", "required", "none"])
def test_no_thought_begins_where_none_may(choice):
    silent = compiled("qwen3", Thought(may_begin=False, max_tokens=0), choice=choice)
    assert n_accepted(silent.fork(), "<think>") == 0
    assert is_whole(silent.fork(), CALL) == (choice != "none")
    ended = compiled("qwen3.5", Thought(is_open=True, may_begin=False, max_tokens=0), choice=choice)
    assert n_accepted(ended.fork(), "x") == 0
    assert is_whole(ended.fork(), f"</think>\n\n{XML_CALL}") == (choice != "none")


def test_a_plain_answer_without_a_thought_begins_as_its_family_begins_text():
    family = get_family("gpt-oss")
    grammar = family.grammar((), special_tokens=family.special_tokens, thought=Thought(may_begin=False, max_tokens=0))
    (start,) = [line for line in grammar.splitlines() if line.startswith("start:")]
    assert '"final"' in start
    assert start.endswith("<|message|> TEXT")
    assert "analysis" not in grammar


def test_an_answer_that_nothing_marks_as_a_thought_needs_no_grammar():
    assert compiled("qwen3", Thought(max_tokens=7), tools=(), special=()) is None
    assert compiled("llama-3.2", Thought(max_tokens=0), tools=()) is None
    assert compiled("qwen3", Thought(may_begin=False), tools=()) is None
