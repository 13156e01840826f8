"""What a request's tools come to: found once, and only by what it depends on."""

from __future__ import annotations

import dataclasses
import gc
import time

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner
from real_vocabulary import real_vocabulary

from chat_templates import get_family
from server.chat.request import ChatRequest
from server.chat.service import ChatService
from server.chat.tool_sets import MAX_SETS, ToolSets
from server.engine.async_engine import AsyncEngine
from server.engine.sampling.constraint import GrammarCompiler
from server.errors import RequestError


def tool(name, **parameters):
    properties = {key: {"type": kind, "description": f"The {key} of it."} for key, kind in parameters.items()}
    function = {
        "name": name,
        "description": f"Does {name}.",
        "parameters": {"type": "object", "properties": properties},
    }
    return {"type": "function", "function": function}


REQUEST = ChatRequest(({"role": "user", "content": "?"},), (tool("add", a="integer"), tool("look", at="string")))


@pytest.fixture
def compiled():
    return []


@pytest.fixture
def sets(compiled):
    compiler = GrammarCompiler(ByteVocabulary())

    def compile_grammar(lark):
        compiled.append(lark)
        return compiler.compile(lark)

    return ToolSets(get_family("qwen2.5"), frozenset(), compile_grammar)


def test_the_same_tools_are_prepared_and_compiled_once(sets, compiled):
    first = sets.of(REQUEST)
    again = dataclasses.replace(REQUEST, messages=({"role": "user", "content": "other"},), call_bias=1.0)
    assert sets.of(again) is first
    assert sets.commitment(again, first) is sets.commitment(REQUEST, first)
    assert len(compiled) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": REQUEST.tools[:1]},
        {"tools": REQUEST.tools[::-1]},
        {"tool_choice": "required"},
        {"tool_choice": "none"},
        {"tool_choice": {"type": "function", "function": {"name": "add"}}},
        {"allowed_tools": frozenset({"add"})},
        {"parallel_tool_calls": False},
        {"response_format": {"type": "json_object"}},
        {"strict_tools": frozenset({"add"})},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_thing_that_it_depends_on_makes_another(sets, changes):
    assert sets.of(dataclasses.replace(REQUEST, **changes)) is not sets.of(REQUEST)


def test_a_constraint_is_forked_by_who_uses_it(sets):
    constraint = sets.of(dataclasses.replace(REQUEST, tool_choice="required")).constraint
    one = constraint.fork()
    forced = one.forced()
    assert forced
    assert one.forced() != forced
    assert sets.of(dataclasses.replace(REQUEST, tool_choice="required")).constraint.fork().forced() == forced


def test_the_oldest_sets_are_forgotten(sets):
    first = sets.of(REQUEST)
    sets.commitment(REQUEST, first)
    for i in range(MAX_SETS):
        sets.of(dataclasses.replace(REQUEST, tools=(tool(f"f{i}"),)))
    assert sets.of(REQUEST) is not first
    assert len(sets._sets) == MAX_SETS
    assert not sets._derived


def test_tools_that_the_family_does_not_know_are_refused_by_their_place(sets):
    with pytest.raises(RequestError) as caught:
        sets.of(dataclasses.replace(REQUEST, tools=(*REQUEST.tools, {"type": "code_interpreter"})))
    assert caught.value.param == "tools[2].type"


FIFTY = tuple(
    tool(f"tool_{i}", path="string", pattern="string", limit="integer", recursive="boolean", of="string")
    for i in range(50)
)


@pytest.mark.native
def test_a_warm_request_with_fifty_tools_costs_three_milliseconds_of_python():
    """It shares the interpreter with the engine's thread. The least of ten, since noise adds; 1.7 ms is usual."""
    from server.llama.model import Model

    with Model(real_vocabulary("qwen2"), vocab_only=True) as model:
        runner = FakeRunner(n_vocab=model.n_vocab, n_ctx=32_000)
        engine = AsyncEngine(runner, model.vocabulary)
        service = ChatService(engine, get_family("qwen2.5"), call_bias=-1.0)
        seconds = []
        for i in range(12):
            asked = ChatRequest(({"role": "user", "content": f"Question {i}?"},), FIFTY)
            gc.collect()
            started = time.thread_time()
            service._prepare(asked)
            seconds.append(time.thread_time() - started)
        engine.close()
    assert min(seconds[2:]) < 0.003
    assert seconds[0] > 10 * min(seconds[2:])
