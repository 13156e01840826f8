"""Calls rendered into history are what the grammar accepts and the parser reads, with real vocabularies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from real_vocabulary import real_vocabulary

from chat_templates import FAMILIES, fold, get_family, merge, parse_output
from server.engine.sampling.constraint import GrammarCompiler

if TYPE_CHECKING:
    from server.llama.vocabulary import Vocabulary

pytestmark = pytest.mark.native

# The vocabularies whose special tokens the families' markers are; a marker that is no token is text.
VOCABULARIES = ("llama-bpe", "qwen2")
MCP_NAME = f"user-profile/v2.1/{'update_' * 15}now"  # 127 characters, as MCP allows them
PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "at": {"type": "array", "items": {"type": "number"}},
        "options": {
            "type": "object",
            "properties": {"exact": {"type": "boolean"}, "note": {"type": ["string", "null"]}},
            "required": ["exact"],
        },
    },
    "required": ["city"],
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "time.now-v2", "description": "", "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": MCP_NAME, "description": "", "parameters": {"type": "object"}}},
]
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_weather", {"city": "Paris"}),
    ("get_weather", {"city": "東京 \"q\" 'a' </function> {x} [1] \\ \n </tool_call>", "days": -3}),
    ("get_weather", {"city": "", "at": [1.5, -2, 1e21], "options": {"exact": True, "note": None}}),
    ("time.now-v2", {}),
    (MCP_NAME, {}),
]
CALLERS = [family for family in FAMILIES if family not in ("minitron", "xlam-1-fc")]
NO_THOUGHT = "<think>\n\n</think>\n\n"  # what Qwen3's history prints in front of an answer without reasoning


@pytest.fixture(scope="module", params=VOCABULARIES)
def vocabulary(request):
    from server.llama.model import Model

    with Model(real_vocabulary(request.param), vocab_only=True) as model:
        yield model.vocabulary


@pytest.fixture(scope="module")
def compiler(vocabulary):
    return GrammarCompiler(vocabulary)


def turn_of(family, calls) -> str:
    """The assistant's turn as the template prints it, from where the generation prompt ends to the stop text."""
    question = {"role": "user", "content": "What?"}
    answer = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call0000{i}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
            }
            for i, (name, arguments) in enumerate(calls)
        ],
    }
    # Where the prompt opens a thought, the answer of a history without thoughts begins behind it.
    closed = family.without_thinking if family.opens_thought == {} else {}
    before = family.render([question], TOOLS, add_generation_prompt=True, template_kwargs=closed)
    before = before.removesuffix("".join(family.output.reasoning or ()))  # an empty thought is not in history
    text = family.render([question, answer], TOOLS, add_generation_prompt=False)
    n_common = next((i for i, (a, b) in enumerate(zip(before, text, strict=False)) if a != b), len(before))
    turn = text[n_common:].strip("\n")
    while turn.endswith(family.output.stop):
        turn = turn.removesuffix(next(stop for stop in family.output.stop if turn.endswith(stop)))
    return turn


def accepts(constraint, vocabulary: Vocabulary, text: str) -> bool:
    for token in vocabulary.tokenize(text.encode(), parse_special=True):
        if not constraint.allows(token):
            return False
        constraint.accept(token)
    return constraint.is_finished or constraint.allows(vocabulary.eos)


@pytest.mark.parametrize("family_id", CALLERS)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: json.dumps(call)[:40])
def test_a_call_in_history_is_accepted_and_read_back(family_id, call, vocabulary, compiler):
    family = get_family(family_id)
    turn = turn_of(family, [call])
    message = parse_output(family_id, turn, TOOLS)
    assert [(c.name, json.loads(c.arguments)) for c in message.tool_calls] == [call]
    assert message.content is None
    if "\\u" in turn:
        # Arch-Function's history escapes non-ASCII; a grammar asks for the characters themselves, since an escape by
        # number could spell a key past its schema.
        return
    special = [marker for marker in family.output.markers if marker in vocabulary.special]
    if "<think>" not in special:
        turn = turn.removeprefix(NO_THOUGHT)
    for choice in ("auto", "required", {"type": "function", "function": {"name": call[0]}}):
        grammar = family.grammar(TOOLS, choice, special_tokens=special)
        assert accepts(compiler.compile(grammar), vocabulary, turn), choice


@pytest.mark.parametrize("family_id", CALLERS)
def test_what_is_read_does_not_depend_on_the_cut(family_id):
    family = get_family(family_id)
    turn = turn_of(family, CALLS[1:2])
    whole = family.parser(TOOLS)
    events = merge([*whole.feed(turn), *whole.finish()])
    for size in (1, 2, 3, 5, 11):
        parser = family.parser(TOOLS)
        pieces = [turn[i : i + size] for i in range(0, len(turn), size)]
        told = [event for piece in pieces for event in parser.feed(piece)]
        assert fold([*told, *parser.finish()]) == fold(events)
