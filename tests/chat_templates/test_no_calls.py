"""Answers that show, quote, explain, refuse or plan calls make none in any family, and grammars allow them."""

import json
from pathlib import Path

import pytest
from byte_vocabulary import ByteVocabulary

from chat_templates import FAMILIES, get_family, parse_output
from server.engine.sampling.constraint import GrammarCompiler

CORPUS = Path(__file__).parent.parent / "golden/no_calls.jsonl"
ROWS = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
PARAMETERS = {
    "get_weather": ("city",),
    "send_mail": ("to", "subject"),
    "search": ("query",),
    "create_task": ("title", "due"),
    "convert": ("amount", "from", "to"),
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {key: {"type": "integer"} for key in keys}},
        },
    }
    for name, keys in PARAMETERS.items()
]
ALL_FAMILIES = pytest.mark.parametrize("family_id", [name for name in FAMILIES if name != "minitron"])


def test_the_corpus_is_of_many_kinds_and_languages():
    n_code = {row["language"] for row in ROWS if "```" in row["text"]}
    assert len(ROWS) >= 150
    assert {row["kind"] for row in ROWS} == {"show", "quote", "explain", "refuse", "plan", "test"}
    assert len(n_code) >= 8
    assert len({row["language"] for row in ROWS} - n_code) >= 8
    assert len({row["text"] for row in ROWS}) == len(ROWS)


@ALL_FAMILIES
def test_an_answer_about_calls_is_content_and_nothing_of_it_is_cut(family_id):
    start = get_family(family_id).output.call.text_start
    for row in ROWS:
        message = parse_output(family_id, start + row["text"], TOOLS)
        assert (message.tool_calls, message.content) == ([], row["text"]), row["id"]


@pytest.mark.parametrize("family_id", ["qwen2.5", "llama-3.1", "watt-tool", "generic"])
def test_no_grammar_ends_an_answer_about_calls_early(family_id):
    """The arguments in these texts do not fit the tools' schemas: as calls they could not be written.

    A family's own marker is no near miss: behind it a call must follow.
    """
    vocabulary = ByteVocabulary()
    family = get_family(family_id)
    constraint = GrammarCompiler(vocabulary).compile(family.grammar(TOOLS, "auto", special_tokens=()))
    for row in ROWS:
        if any(marker in row["text"] for marker in family.output.call.markers):
            continue
        at = constraint.fork()
        for token in vocabulary.tokenize(row["text"].encode(), parse_special=False):
            assert at.allows(token), row["id"]
            at.accept(token)
        assert at.is_finished or at.allows(vocabulary.eos), row["id"]
