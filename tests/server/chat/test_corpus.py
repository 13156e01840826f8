"""Sets of tools in the shapes that real servers and agents send: every one is prepared, and its calls fit its schemas.

How fast, and with which bounds, is measured by tests/benchmarks/bench_tool_sets.py.
"""

from __future__ import annotations

import dataclasses
import json
import time

import jsonschema
import pytest
import regex
from grammar_walk import GrammarWalk
from real_vocabulary import real_vocabulary
from tool_sets.corpus import REFUSED, TOOL_SETS, USABLE
from tool_sets.shapes import ToolSet, string, tool

from chat_templates import get_family, parse_output
from server.chat.request import ChatRequest
from server.chat.tool_sets import ToolSets
from server.engine.sampling.constraint import GrammarCompiler
from server.errors import RequestError
from server.llama.model import Model

pytestmark = pytest.mark.native

FAMILY = "qwen2.5"
# Seconds of the processor for preparing a set that nobody knows; what else the machine does is not counted. The largest
# take 0.2; the law is one second, and a processor of half the speed keeps it.
COLD_S = 1.0


def matches(validator, pattern, instance, _schema):
    """As ECMA-262 has it, or nearer to it than Python's `re`, which knows no letters by their property."""
    if validator.is_type(instance, "string") and not regex.search(pattern, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": matches})


@pytest.fixture(scope="module")
def vocabulary():
    with Model(real_vocabulary("qwen2"), vocab_only=True) as model:
        yield model.vocabulary


@pytest.fixture(scope="module")
def prepare(vocabulary):
    """A function from a set and a choice to the prepared tools and the seconds that took, with nothing remembered."""
    family = get_family(FAMILY)
    special = [marker for marker in family.output.markers if marker in vocabulary.special]
    compiler = GrammarCompiler(vocabulary)

    def prepared(tool_set, choice):
        sets = ToolSets(family, special, compiler.compile)
        request = ChatRequest(({"role": "user", "content": "?"},), tuple(tool_set.tools), tool_choice=choice)
        started = time.thread_time()
        made = sets.of(request)
        seconds = time.thread_time() - started
        assert sets.of(dataclasses.replace(request)) is made
        return made, seconds

    return prepared


def by_name(tool_set):
    return pytest.mark.parametrize("tool_set", tool_set, ids=lambda each: each.name)


@by_name(USABLE)
@pytest.mark.parametrize("choice", ["required", "auto"])
def test_a_set_is_prepared_within_a_second_and_its_call_allowed(tool_set, choice, prepare, vocabulary):
    made, seconds = prepare(tool_set, choice)
    assert seconds < COLD_S
    degraded: dict[str, set[str]] = {}
    for warning in made.schemas.warnings:
        degraded.setdefault(warning.tool, set()).add(warning.keyword)
    assert degraded == tool_set.degraded
    name, arguments = tool_set.call
    before, after = get_family(FAMILY).output.call.around(name)
    text = before + json.dumps(arguments, ensure_ascii=False) + after
    constraint = made.constraint.fork()
    assert GrammarWalk(vocabulary).along(constraint, text)[0] == ""
    assert constraint.is_accepting
    (call,) = parse_output(FAMILY, text, list(tool_set.tools)).tool_calls
    assert (call.name, json.loads(call.arguments)) == (name, arguments)


@by_name(USABLE)
def test_calls_at_random_fit_their_schemas(tool_set, prepare, vocabulary):
    made, _ = prepare(tool_set, "required")
    text, _, is_whole = GrammarWalk(vocabulary).at_random(made.constraint.fork())
    assert is_whole
    calls = parse_output(FAMILY, text.decode(), list(tool_set.tools)).tool_calls
    assert calls
    for call in calls:
        arguments = json.loads(call.arguments)
        if call.name not in tool_set.degraded:
            Validator(made.schemas.tools[call.name].enforcement.given).validate(arguments)


@by_name(REFUSED)
def test_what_no_grammar_bears_is_refused_by_its_place(tool_set, prepare):
    with pytest.raises(RequestError) as caught:
        prepare(tool_set, "auto")
    assert caught.value.param == tool_set.refused
    assert caught.value.status == 400


def test_a_mask_in_a_pattern_with_a_dot_costs_what_one_in_any_string_does(prepare, vocabulary):
    """Its `.` leaves out two line ends of ECMA-262; with them among the tokens, nine times as much."""

    def slowest(schema):
        made, _ = prepare(ToolSet("said", [tool("say", "", {"text": schema})]), "required")
        text = get_family(FAMILY).output.call.around("say")[0] + '{"text": "Words after words'
        walks = [GrammarWalk(vocabulary).along(made.constraint.fork(), text)[1] for _ in range(5)]
        return min(max(steps.mask) for steps in walks)

    assert slowest(string(pattern="^.*[.]$")) < 4 * slowest(string(pattern="[0-9]"))


def test_the_corpus_is_as_wide_as_it_says():
    sizes = [len(tool_set.tools) for tool_set in USABLE]
    assert len(USABLE) >= 40
    assert (min(sizes), max(sizes)) == (1, 120)
    assert len({tool_set.name for tool_set in TOOL_SETS}) == len(TOOL_SETS)
    for tool_set in USABLE:
        assert tool_set.call[0] in {each["function"]["name"] for each in tool_set.tools}, tool_set.name


@by_name([each for each in USABLE if len(each.tools) == 120])
def test_the_name_of_one_of_120_tools_can_be_said_where_calls_are_bare_json(tool_set):
    """Each tool is a lexeme of its own there: a mask in the middle of a name once exceeded llguidance's fuel."""
    family = get_family("llama-3.1")
    with Model(real_vocabulary("llama-bpe"), vocab_only=True) as model:
        sets = ToolSets(family, frozenset(), GrammarCompiler(model.vocabulary).compile)
        made = sets.of(ChatRequest(({"role": "user", "content": "?"},), tuple(tool_set.tools)))
        for name in sorted(made.schemas.tools)[::40]:
            text = family.output.call.around(name)[0].rstrip()
            assert GrammarWalk(model.vocabulary).along(made.constraint.fork(), text)[0] == ""
