"""Schemas of a request, from the chat service's door: enforced, degraded with a warning, or refused in time."""

from __future__ import annotations

import asyncio
import json
import re
import time

import pytest
from byte_vocabulary import ByteVocabulary
from fake_runner import FakeRunner

from chat_templates import get_family
from server.chat.answer.stream import fold
from server.chat.request import ChatRequest, InputFormat
from server.chat.schemas.enforced import MAX_SCHEMA_CHARS, enforce_request
from server.chat.schemas.unenforced import Unenforced
from server.chat.schemas.warning import SchemaWarning
from server.chat.service import ChatService
from server.engine.async_engine import AsyncEngine
from server.engine.types import SamplingParams
from server.errors import ConstraintError, RequestError

USER = ({"role": "user", "content": "hi"},)
GREEDY = SamplingParams(temperature=0.0)


def tool(name, schema, **root):
    parameters = {"type": "object", "properties": {"v": schema}, "required": ["v"], **root}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


GOOD = tool("good", {"enum": ["a", "b"]})
BAD = tool("bad", {"type": "string", "not": {"pattern": "^x$"}})
# The compiler alone can tell that these patterns meet.
UNCOMPILED = tool("uncompiled", {"type": "object", "patternProperties": {"a*": {"type": "null"}, "aaa*": {}}})


@pytest.fixture
async def engine():
    engine = AsyncEngine(FakeRunner(n_ctx=65_536, n_batch=4096), ByteVocabulary(), n_parallel=4)
    yield engine
    engine.close()


@pytest.fixture
def service(engine):
    return ChatService(engine, get_family("qwen2.5"))


def request(tools, choice="required", **fields):
    return ChatRequest(USER, tuple(tools), choice, sampling=GREEDY, max_tokens=150, **fields)


async def answer(service, wanted):
    return await fold(await service.open(wanted))


async def test_an_enforced_request_has_no_warnings(service):
    assert (await answer(service, request([GOOD]))).warnings == ()
    assert service.degradations == {}


@pytest.mark.parametrize(
    ("bad", "keyword", "path"),
    [(BAD, "not", ".properties.v"), (UNCOMPILED, "schema", ".properties.v")],
    ids=["by its keyword", "by the compiler"],
)
async def test_a_degraded_tool_is_named_and_costs_the_others_nothing(service, bad, keyword, path):
    result = await answer(service, request([GOOD, bad]))
    (warning,) = result.warnings[:1]
    assert (warning.type, warning.tool) == ("schema_degraded", bad["function"]["name"])
    assert (warning.path, warning.keyword) == (f"tools[1].function.parameters{path}", keyword)
    assert service.degradations == {keyword: 1}
    named = {"type": "function", "function": {"name": "good"}}
    result = await answer(service, request([GOOD, bad], named))
    assert json.loads(result.tool_calls[0].arguments)["v"] in {"a", "b"}
    assert result.warnings == ()


async def test_a_strict_tool_is_refused_by_its_path(service):
    for bad in (BAD, UNCOMPILED):
        name = bad["function"]["name"]
        with pytest.raises(RequestError) as caught:
            await service.open(request([GOOD, bad], strict_tools=frozenset({name})))
        assert caught.value.param == "tools[1].function.parameters.properties.v"
        assert caught.value.code == "invalid_function_parameters"
        assert f"'{name}'" in caught.value.message


@pytest.mark.parametrize("is_strict", [False, True])
async def test_a_response_format_degrades_to_any_object_or_is_refused(service, is_strict):
    nothing = {"not": {"type": ["null", "boolean", "number", "string", "array", "object"]}}
    schema = {"type": "object", "properties": {"v": nothing}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": is_strict}}
    wanted = request([], "none", response_format=form)
    if is_strict:
        with pytest.raises(RequestError) as caught:
            await service.open(wanted)
        assert caught.value.param == "response_format.json_schema.schema.properties.v"
    else:
        result = await answer(service, wanted)
        warning, *after = result.warnings
        assert (warning.tool, warning.path) == (None, "response_format.json_schema.schema.properties.v")
        is_whole = result.finish_reason == "stop" and "v" in json.loads(result.content)
        assert [each.type for each in after] == (["content_invalid"] if is_whole else [])


def content_warnings(*pieces, schema=None, ends=True):
    """What is said of a JSON answer under a degraded response format."""
    schema = schema or {"type": "object", "properties": {"v": {"not": {"pattern": "^x$"}}}}
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}
    content = Unenforced(enforce_request([GOOD], "auto", form, ()))
    for piece in pieces:
        content.add_content(piece)
    if ends:
        content.end_content()
    return [(warning.type, warning.tool, warning.path) for warning in content.warnings()]


def test_a_degraded_json_answer_is_validated_after():
    assert content_warnings('{"v": ', '"y"}\n') == []
    assert content_warnings('{"v": ', '"x"}') == [("content_invalid", None, "$.v")]
    assert content_warnings('{"v": "x') == [("content_invalid", None, "$")]
    assert content_warnings('{"v": "x"}', ends=False) == []
    assert content_warnings("\n") == []
    unread = {"type": "object", "not": {"multipleOf": 7}, "$ref": "http://127.0.0.1:9/schema"}
    assert content_warnings("{}", schema=unread) == [("content_unchecked", None, "$")]
    assert content_warnings('{"v": 1}', schema={"type": "object"}) == []


def unenforced(arguments, *, is_complete=True, bad=BAD):
    calls = Unenforced(enforce_request([GOOD, bad], "auto", None, ()))
    assert not calls
    calls.start(0, "good", "call_0")
    calls.add(0, "not validated: enforced")
    calls.end(0)
    calls.start(1, bad["function"]["name"], "call_1")
    for character in arguments:
        calls.add(1, character)
    if is_complete:
        calls.end(1)
    return calls.warnings()


def test_arguments_of_a_degraded_tool_are_validated_after():
    assert unenforced('{"v": "y"}') == ()
    (warning,) = unenforced('{"v": "x"}')
    assert isinstance(warning, SchemaWarning)
    assert (warning.type, warning.tool, warning.tool_call_id, warning.path) == (
        "arguments_invalid",
        "bad",
        "call_1",
        "$.v",
    )
    assert unenforced('{"v": "x', is_complete=False) == ()


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {}, "pattern": "^(x+x+)+(?=y)$"},
        {"not": {"multipleOf": 7}, "$ref": "http://127.0.0.1:9/schema"},
        {"not": {"multipleOf": 7}, "patternProperties": {"(a+)+b": {}}},
        {"not": {"multipleOf": 7}, "pattern": "("},
    ],
)
def test_what_cannot_be_validated_is_said_so_in_time(schema):
    started = time.process_time()
    warnings = unenforced(json.dumps({"v": "x" * 5000}), bad=tool("bad", schema))
    assert warnings[-1].type in {"arguments_unchecked", "arguments_invalid"}
    assert warnings[-1].message
    assert time.process_time() - started < 1.0


ENDLESS = {"$ref": "#/$defs/v", "$defs": {"v": {"$ref": "#/$defs/v"}}}


def test_a_schema_that_nothing_finite_fits_frees_its_own_tool():
    endless = tool("endless", {})
    endless["function"]["parameters"] = {"type": "object", "properties": {"v": {"$ref": "#/$defs/v"}}, **ENDLESS}
    schemas = enforce_request([GOOD, endless], "auto", None, ())
    [warning] = schemas.warnings
    assert (warning.type, warning.tool, warning.keyword) == ("schema_degraded", "endless", "$ref")
    assert schemas.tools["good"].enforcement.faults == ()
    assert schemas.tools["endless"].enforcement.is_free
    with pytest.raises(RequestError, match="endless"):
        enforce_request([endless], "auto", None, ())
    with pytest.raises(RequestError, match="endless"):
        enforce_request([GOOD, endless], {"type": "function", "function": {"name": "endless"}}, None, ())
    with pytest.raises(RequestError, match="endless"):
        enforce_request([GOOD, endless], "auto", None, {"endless"})


def test_what_is_malformed_is_not_validated_and_the_rest_is():
    schema = {"type": "integer", "required": True, "properties": {"w": 3}}
    assert unenforced('{"v": 1}', bad=tool("bad", schema)) == ()
    [warning] = unenforced('{"v": "x"}', bad=tool("bad", schema))
    assert (warning.type, warning.path) == ("arguments_invalid", "$.v")


def bomb():
    definitions = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    return {"$defs": {**definitions, "d40": {}}}


def test_validation_is_bounded_in_steps():
    started = time.process_time()
    (warning,) = unenforced('{"v": 1}', bad=tool("bad", {"not": {"multipleOf": 7}, "$ref": "#/$defs/d0"}, **bomb()))
    assert warning.type == "arguments_unchecked"
    assert time.process_time() - started < 1.0


PATHOLOGICAL = {
    "chain": tool(
        "t", {"$ref": "#/$defs/d0"}, **{"$defs": {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(9000)}}
    ),
    "product": tool(
        "t",
        {"allOf": [{"anyOf": [{"required": [f"p{i}{j}"], "type": "object"} for j in range(6)]} for i in range(12)]},
    ),
    "repetitions": tool("t", {"type": "string", "pattern": "^(a{1,1000}){1,1000}$"}),
    "meeting patterns": tool(
        "t", {"allOf": [{"type": "string", "pattern": f"^.*a.{{{i}}}b.*$"} for i in range(5, 15)]}
    ),
    "minLength": tool("t", {"type": "string", "minLength": 100_000}),
    "properties": tool("t", {"type": "object", "properties": {f"p{i}": {} for i in range(5000)}}),
    "size": tool("t", {"description": "x" * MAX_SCHEMA_CHARS}),
}


@pytest.mark.parametrize("name", PATHOLOGICAL)
async def test_a_pathological_tool_is_refused_within_a_second_and_others_go_on(service, name):
    await answer(service, request([GOOD]))
    other = asyncio.create_task(answer(service, request([GOOD])))
    stalls = []

    async def watch():
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            stalls.append(time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    started = time.perf_counter()
    with pytest.raises(RequestError) as caught:
        await service.open(request([GOOD, PATHOLOGICAL[name]]))
    assert time.perf_counter() - started < 1.0
    watching.cancel()
    assert caught.value.status == 400
    assert (caught.value.param or "").startswith("tools")
    assert max(stalls, default=0.0) < 0.3
    assert (await other).tool_calls[0].name == "good"


async def test_a_limit_met_while_generating_ends_that_request_alone(service):
    """The compiler looks at a grammar's beginning; nine objects of 300 optional keys at once come later."""
    wide = [{"type": "object", "properties": {f"p{i}_{j}": {} for j in range(300)}} for i in range(9)]
    late = tool("late", {"type": "object", "properties": {"w": {"anyOf": wide}}, "required": ["w"]})
    other = asyncio.create_task(answer(service, request([GOOD])))
    with pytest.raises(ConstraintError) as caught:
        await answer(service, request([late]))
    assert caught.value.status == 400
    assert (await other).tool_calls
    assert (await answer(service, request([GOOD]))).tool_calls


CUSTOM = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def custom(syntax, definition):
    tool = {"type": "function", "function": {"name": "run", "parameters": CUSTOM}}
    return enforce_request([tool], "auto", None, (), {"run": InputFormat(syntax, definition, "tools[0].format")})


@pytest.mark.parametrize(("syntax", "definition"), [("regex", "[a-c]+"), ("lark", 'start: ("a".."c")+')])
def test_a_custom_tools_string_is_held_to_its_format(syntax, definition):
    enforced = custom(syntax, definition).in_grammar([{"function": {"name": "run", "parameters": CUSTOM}}])
    pattern = enforced[0]["function"]["parameters"]["properties"]["input"]["pattern"]
    assert re.fullmatch(pattern, "abc")
    assert not re.fullmatch(pattern, "abd")


@pytest.mark.parametrize(
    ("syntax", "definition"), [("regex", "(?=a)b"), ("regex", "a" * 5000), ("lark", "start: x"), ("lark", "???")]
)
def test_a_format_that_cannot_be_enforced_is_refused_at_its_place(syntax, definition):
    with pytest.raises(RequestError) as caught:
        custom(syntax, definition)
    assert (caught.value.param, caught.value.code) == ("tools[0].format", "invalid_custom_tool_format")
