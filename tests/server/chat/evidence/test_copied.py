"""Copied arguments are left out of calls, and nothing else changes: property by property, cut anywhere."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from chat_templates import ContentDelta, ReasoningDelta, ToolCallArguments, ToolCallEnd, ToolCallStart
from server.chat.evidence.copied import CopiedArguments

WHY = "Why the user should approve this command"
TEXT = {"type": "string", "description": f"{WHY}."}
PATH = {"type": "string", "description": "Where, e.g. /var/scratch."}
LIST = {"type": "array", "items": {"type": "string"}, "description": 'The beginning, e.g. ["git", "pull"].'}
PROPERTIES = {
    "command": {"type": "string"},
    "why": TEXT,
    "workdir": PATH,
    "prefix": LIST,
    "timeout": {"type": "integer"},
}
BASH = {
    "name": "bash",
    "description": "Runs a command.",
    "parameters": {"type": "object", "properties": PROPERTIES, "required": ["command"]},
}
COPIES = {"why": WHY, "workdir": "/var/scratch", "prefix": ["git", "pull"]}

values = st.one_of(st.none(), st.integers(), st.text(max_size=8), st.just(["git", "pull"]))
nested = st.recursive(values, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3))
keys = st.sampled_from([*PROPERTIES, "other", 'a"b', "a,b:}"])
copies = st.sampled_from([*COPIES]).map(lambda key: (key, COPIES[key]))
elsewhere = st.tuples(st.sampled_from(["command", "other", "timeout"]), st.sampled_from([WHY, [WHY], {"why": WHY}]))
members = st.one_of(copies, elsewhere, st.tuples(keys, nested))
objects = st.lists(members, max_size=6).map(dict)
cuts = st.lists(st.integers(0, 300), max_size=12)
layouts = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


def pieces(text, cuts):
    at = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[a:b] for a, b in itertools.pairwise(at)]


def told(text, cuts=(), said="", functions=(BASH,), name="bash"):
    guard = CopiedArguments(functions, lambda: said)
    events = [ToolCallStart(0, name, None), *(ToolCallArguments(0, p) for p in pieces(text, cuts)), ToolCallEnd(0)]
    out = [passed for event in events for passed in guard.admit(event)]
    assert (out[0], out[-1]) == (events[0], events[-1])
    return "".join(event.text for event in out[1:-1]), guard.warnings


def is_copy(key, value):
    return key in COPIES and value == COPIES[key]


@given(objects, cuts, layouts)
def test_the_call_without_its_copies_is_told(arguments, cuts, layout):
    text, warnings = told(json.dumps(arguments, **layout), cuts)
    assert json.loads(text) == {k: v for k, v in arguments.items() if not is_copy(k, v)}
    assert {w.argument for w in warnings} == {k for k, v in arguments.items() if is_copy(k, v)}


@given(objects, cuts, layouts)
def test_a_call_without_copies_is_told_as_it_was_written(arguments, cuts, layout):
    written = json.dumps({k: v for k, v in arguments.items() if not is_copy(k, v)}, **layout)
    assert told(written, cuts) == (written, ())


@given(st.text(st.sampled_from('{}[]":,\\ ab1\n'), max_size=40), cuts)
def test_what_is_not_json_is_told_as_it_was_written(text, cuts):
    assert told(text, cuts)[0] == text


@given(objects, st.integers(0, 300), cuts)
def test_what_a_limit_cut_is_told(arguments, n, cuts):
    arguments = {k: v for k, v in arguments.items() if not is_copy(k, v)}
    cut = json.dumps(arguments)[:n]
    guard = CopiedArguments([BASH], lambda: "")
    events = [ToolCallStart(0, "bash", None), *(ToolCallArguments(0, p) for p in pieces(cut, cuts))]
    out = [passed for event in events for passed in guard.admit(event)] + guard.cut()
    assert "".join(event.text for event in out[1:]) == cut
    assert guard.end() == []


def test_a_value_is_told_as_soon_as_it_is_no_copy():
    guard = CopiedArguments([BASH], lambda: "")
    guard.admit(ToolCallStart(0, "bash", None))

    def tell(text):
        return "".join(event.text for event in guard.admit(ToolCallArguments(0, text)))

    assert tell('{"command": "ca') == '{"command": "ca'
    assert tell('t x", "wh') == 't x"'
    assert tell('y": "Why the') == ""
    assert tell(" neighbours") == ""  # a word that may go on
    assert tell(" are") == ', "why": "Why the neighbours are'
    assert tell(' loud"') == ' loud"'
    assert tell("}") == "}"


def test_a_list_of_one_copied_sentence_is_a_copy():
    assert told(json.dumps({"why": [WHY]}))[0] == "{}"


def test_an_object_that_is_its_own_schema_is_a_copy():
    free = {"type": "object", "additionalProperties": {}}
    query = {"name": "query", "parameters": {"type": "object", "properties": {"options": free, "n": {}}}}
    copy = json.dumps({"n": 1, "options": free})
    assert told(copy, functions=[query], name="query")[0] == '{"n": 1}'
    assert told(copy, functions=[query], name="query", cuts=range(1, len(copy)))[0] == '{"n": 1}'
    for value in ({}, {"type": "object"}, {"type": "cloud", "zone": [1]}, {**free, "x": 1}):
        call = json.dumps({"n": 1, "options": value})
        assert told(call, functions=[query], name="query") == (call, ())


def test_a_value_of_any_depth_is_told():
    call = '{"prefix": ' + "[" * 50_000 + "]" * 50_000 + "}"
    assert told(call, cuts=[12, 13, 5000]) == (call, ())
    assert told(call) == (call, ())


def test_what_the_conversation_says_is_no_copy():
    call = json.dumps({"command": "ls", "workdir": "/var/scratch"})
    assert told(call, said="look into /var/scratch, please")[0] == call
    assert told(call, said="look into /var, please")[0] == '{"command": "ls"}'


def test_calls_of_tools_that_offer_nothing_pass_untouched():
    call = json.dumps({"why": WHY})
    assert told(call, functions=())[0] == call
    required = {**BASH, "parameters": {**BASH["parameters"], "required": ["why"]}}
    assert told(call, functions=(required,))[0] == call


def test_several_calls_are_read_apart_and_an_argument_is_warned_of_once():
    guard = CopiedArguments([BASH], lambda: "")
    text = json.dumps({"why": WHY, "command": "ls"})
    out = []
    for i in range(2):
        for event in (ToolCallStart(i, "bash", None), ToolCallArguments(i, text), ToolCallEnd(i)):
            out += guard.admit(event)
    told = [[e.text for e in out if isinstance(e, ToolCallArguments) and e.index == i] for i in range(2)]
    assert ["".join(texts) for texts in told] == ['{"command": "ls"}'] * 2
    (warning,) = guard.warnings
    assert warning.fields()["type"] == "copied_argument"
    assert (warning.tool, warning.argument) == ("bash", "why")


def test_what_is_held_of_a_refused_generation_is_forgotten():
    guard = CopiedArguments([BASH], lambda: "")
    guard.admit(ToolCallStart(0, "bash", None))
    guard.admit(ToolCallArguments(0, '{"why": "Why the'))
    guard.begin()
    assert guard.admit(ContentDelta("Done.")) == [ContentDelta("Done.")]
    assert guard.admit(ReasoningDelta("So.")) == [ReasoningDelta("So.")]
    assert guard.end() == []
