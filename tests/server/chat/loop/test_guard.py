"""An agent's loop ends: a call that has its result is not made again, and any other call is."""

from __future__ import annotations

import json

import pytest
from byte_vocabulary import ByteVocabulary

from chat_templates import FAMILIES, get_family
from server.chat.answer.continuation import Next
from server.chat.answer.guard import RepeatedCall
from server.chat.answer.stream import ChatStream, fold
from server.chat.evidence.guard import HeldCall
from server.chat.loop.echo import Echoes
from server.chat.loop.guard import Calls, LoopGuard, answered_calls
from server.chat.loop.results import is_error
from server.chat.schemas.enforced import EnforcedSchemas
from server.engine.sampling.constraint import GrammarCompiler
from server.engine.types import FinishReason, GenerationChunk, GenerationUsage

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("search", "fetch")]
USER = {"role": "user", "content": "?"}


def calling(*calls):
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for i, (name, arguments) in enumerate(calls)
        ],
    }


def result(content="found", call_id="c0"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


SEARCH = calling(("search", '{"q": "a", "n": 1}'))


@pytest.mark.parametrize(
    ("arguments", "is_repeat"),
    [
        ('{"q": "a", "n": 1}', True),
        ('{ "n":1.0,"q":"a" }', True),
        ('{"q": "a", "n": 2}', False),
        ('{"q": "a", "n": true}', False),
        ('{"q": "a"}', False),
        ('{"q": "a", "n": 1, "m": null}', False),
        ("", False),
    ],
)
def test_a_call_is_a_repeat_by_its_arguments_as_json_values(arguments, is_repeat):
    known = answered_calls([USER, SEARCH, result()])
    assert known.has("search", json.loads(arguments or "{}")) is is_repeat
    assert not known.has("fetch", json.loads(arguments or "{}"))


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [USER],
        [USER, SEARCH],
        [USER, SEARCH, result(), {"role": "assistant", "content": "Found."}, USER],
        [USER, SEARCH, result(call_id="other")],
    ],
    ids=["nothing", "a question", "no result yet", "a new question", "another's result"],
)
def test_only_calls_that_have_a_result_since_the_last_question_count(messages):
    assert answered_calls(messages) == Calls()


def test_an_error_may_be_retried_once():
    failed = [SEARCH, result("Error: timed out")]
    call = {"q": "a", "n": 1}
    assert not answered_calls([USER, *failed]).has("search", call)
    assert answered_calls([USER, *failed, *failed]).has("search", call)
    assert answered_calls([USER, *failed, SEARCH, result()]).has("search", call)


def test_a_tool_that_failed_five_times_in_a_row_is_given_up_in_this_turn():
    def turn(*results_):
        return [m for i, said in enumerate(results_) for m in (calling(("search", f'{{"q": {i}}}')), result(said))]

    failed = ["Error: nothing"] * 5
    assert answered_calls([USER, *turn(*failed)]).has("search", {"q": 9})
    assert not answered_calls([USER, *turn(*failed)]).has("fetch", {"q": 9})
    assert not answered_calls([USER, *turn(*failed[:4])]).has("search", {"q": 9})
    assert not answered_calls([USER, *turn(*failed[:4], "found", *failed[:4])]).has("search", {"q": 9})
    assert not answered_calls([USER, *turn(*failed), USER]).has("search", {"q": 9})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Error: no such city", True),
        ("ValueError: bad", True),
        ("Traceback (most recent call last):", True),
        ("timeout", True),
        ("Timed out after 30 s", True),
        ('{"error": "no such city"}', True),
        ('{"isError": true, "content": []}', True),
        ('{"success": false}', True),
        ('{"status": "error"}', True),
        ('"Error: x"', True),
        ("sunny, 21 degrees", False),
        ("The last error was fixed.", False),
        ('{"errors": 0, "status": "ok"}', False),
        ('{"error": null, "value": 3}', False),
        ("[]", False),
        ("", False),
    ],
)
def test_results_that_are_errors_say_so_at_their_beginning_or_in_a_field(text, expected):
    assert is_error(text) is expected


def test_two_calls_with_one_id_are_answered_in_turn():
    both = calling(("search", '{"q": "a"}'), ("search", '{"q": "b"}'))
    for call in both["tool_calls"]:
        call["id"] = "same"
    once = answered_calls([USER, both, result(call_id="same")])
    assert (once.has("search", {"q": "a"}), once.has("search", {"q": "b"})) == (True, False)
    twice = answered_calls([USER, both, result(call_id="same"), result(call_id="same")])
    assert (twice.has("search", {"q": "a"}), twice.has("search", {"q": "b"})) == (True, True)


USAGE = GenerationUsage(prompt=9, cached=0, completion=5, forced=1, decode_steps=4)


class Spoken:
    """A generation that says these pieces."""

    n_prompt = 7

    def __init__(self, *pieces):
        self.left = list(pieces)
        self.is_closed = False
        self.finish_reason = FinishReason.STOP

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        piece = self.left.pop(0)
        return GenerationChunk(piece, None if self.left else self.finish_reason, USAGE)

    async def aclose(self):
        self.is_closed = True


def stream(generation, answered, words=None, echoes=None):
    class Continuation:
        async def in_place_of(self, _refused, said):
            words.append((said.content, said.reasoning))
            return Next(Spoken("It is ", "sunny."), get_family("qwen2.5").parser(()), ())

        async def further(self, _made, _text):
            return None

        def ended(self):
            return ()

    return ChatStream(
        generation,
        get_family("qwen2.5").parser(TOOLS),
        EnforcedSchemas({}),
        None,
        guards=[LoopGuard(answered, echoes)],
        continuation=None if words is None else Continuation(),
    )


def call_text(name, **arguments):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


ANSWERED = Calls({"search": [{"q": "a"}]})


async def test_a_repeat_is_answered_in_words_and_nothing_of_it_is_told():
    words = []
    text = call_text("search", q="a")
    generation = Spoken("Let me see. ", text[:30], text[30:], "\n")
    deltas = [delta async for delta in _iterated(stream(generation, ANSWERED, words))]
    assert generation.is_closed
    assert words == [("Let me see.", "")]
    assert "".join(delta.content or "" for delta in deltas) == "Let me see.It is sunny."
    assert all(delta.tool_call is None for delta in deltas)
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].usage.completion == 2 * USAGE.completion
    assert deltas[-1].usage.prompt == USAGE.prompt
    assert [warning.fields()["type"] for warning in deltas[-1].warnings] == ["repeated_call"]


async def test_another_call_with_the_name_of_an_answered_one_is_told_whole():
    answer = await fold(stream(Spoken(call_text("search", q="b")), ANSWERED, []))
    assert [(call.name, json.loads(call.arguments)) for call in answer.tool_calls] == [("search", {"q": "b"})]
    assert (answer.finish_reason, answer.warnings) == ("tool_calls", ())


async def test_a_call_of_another_name_streams_as_it_is_written():
    text = call_text("fetch", url="a")
    told = stream(Spoken(*text), ANSWERED, [])
    seen = []
    async for delta in _iterated(told):
        seen.append(len(told._generation.left))
        if delta.tool_call is not None and delta.tool_call.name:
            break
    assert seen[-1] > 10  # characters that were not written yet


async def test_a_call_that_is_cut_is_told_as_far_as_it_came():
    text = call_text("search", q="a")
    generation = Spoken(text[:-20])
    answer = await fold(stream(generation, ANSWERED, []))
    assert [call.name for call in answer.tool_calls] == ["search"]


async def test_a_call_that_is_cut_as_it_was_before_is_not_told_again():
    generation = Spoken(call_text("search", q="a")[:-20])
    generation.finish_reason = FinishReason.LENGTH
    (before,) = (await fold(stream(generation, Calls()))).tool_calls
    generation = Spoken(call_text("search", q="a")[:-20])
    generation.finish_reason = FinishReason.LENGTH
    failed = [calling(("search", before.arguments)), result("Error: the arguments are no JSON")]
    answer = await fold(stream(generation, answered_calls([USER, *failed, *failed]), []))
    assert (answer.tool_calls, answer.finish_reason) == ((), "length")
    assert [warning.fields()["type"] for warning in answer.warnings] == ["repeated_call"]


async def test_a_call_is_made_once_in_an_answer():
    text = call_text("fetch", url="a")
    generation = Spoken(text, text, text)
    answer = await fold(stream(generation, Calls()))
    assert len(answer.tool_calls) == 1
    assert answer.finish_reason == "tool_calls"
    assert generation.is_closed
    assert [warning for warning in answer.warnings if isinstance(warning, RepeatedCall)]


async def test_a_repeat_beside_a_new_call_is_left_out():
    answer = await fold(stream(Spoken(call_text("fetch", url="a"), call_text("search", q="a")), ANSWERED, []))
    assert [call.name for call in answer.tool_calls] == ["fetch"]


ECHOES = Echoes(['{"sky": "sunny"}'])


@pytest.mark.parametrize("text", ['{"sky": "sunny"}', "", "```\n", '{"name": "none", "arguments": {}}'])
async def test_a_result_that_is_printed_again_is_answered_in_words(text):
    words = []
    answer = await fold(stream(Spoken(text[:5], text[5:]), ANSWERED, words, ECHOES))
    assert words == [("", "")]
    assert answer.content == "It is sunny."
    assert [warning.fields()["type"] for warning in answer.warnings] == ["no_answer"]


async def test_words_after_a_result_stream_from_the_first_piece_on():
    told = stream(Spoken("It", " is", " sunny."), ANSWERED, [], ECHOES)
    delta = await anext(told)
    assert delta.content == "It"
    assert len(told._generation.left) == 2


async def test_json_that_is_no_result_is_told_whole():
    answer = await fold(stream(Spoken('{"sky": ', '"clear"}'), ANSWERED, [], ECHOES))
    assert (answer.content, answer.warnings) == ('{"sky": "clear"}', ())


async def test_a_fence_before_a_repeat_is_not_said():
    text = '```json\n{"name": "search", "arguments": {"q": "a"}}\n```'
    words = []
    answer = await fold(stream(Spoken(*text), ANSWERED, words, ECHOES))
    assert answer.content == "It is sunny."


async def test_a_result_that_a_limit_cuts_is_told_as_far_as_it_came():
    generation = Spoken('{"sky": ')
    generation.finish_reason = FinishReason.LENGTH
    answer = await fold(stream(generation, ANSWERED, [], ECHOES))
    assert (answer.content, answer.finish_reason) == ('{"sky": ', "length")


async def _iterated(deltas):
    async for delta in deltas:
        yield delta


VOCABULARY = ByteVocabulary()
COMPILER = GrammarCompiler(VOCABULARY)


def accepts(lark, text):
    constraint = COMPILER.compile(lark)
    for byte in text.encode():
        if not constraint.allows(byte):
            return False
        constraint.accept(byte)
    return constraint.is_accepting


@pytest.mark.parametrize(
    ("text", "is_prose"),
    [
        ("It is 21 °C in Turin.", True),
        ("The flights:\n- OS407 at 14:25\n- AF1205\n\n1. Done.\n", True),
        ("Set f(x) = {x}.", True),
        ('{"name": "f"}', False),
        ('[{"name": "f"}]', False),
        ("```json", False),
        ("<tool_call>", False),
        ("[f(a=1)]", False),
        ("Here it is:\n{", False),
        ("Here it is:\n\n```", False),
        ('({"name": "f"})', False),
        ('It is {"a": 1}', False),
        ('"status": "ok"', False),
    ],
)
def test_prose_is_words_and_nothing_that_opens_a_call_or_json(text, is_prose):
    family = get_family("qwen2.5")
    assert accepts(family.prose(()), text) is is_prose


@pytest.mark.parametrize(
    ("text", "is_prose"),
    [(" and [so] on.", True), ("", True), (".\nMore.", True), (' {"a"', False), (".\n```", False), (".\n{", False)],
)
def test_prose_that_goes_on_may_open_a_bracket_in_its_line(text, is_prose):
    assert accepts(get_family("qwen2.5").prose((), goes_on=True), text) is is_prose


@pytest.mark.parametrize("family_id", [family for family in FAMILIES if family != "minitron"])
def test_every_familys_prose_compiles_and_is_read_as_content(family_id):
    family = get_family(family_id)
    text = f"{family.output.call.text_start}It is sunny in Turin."
    assert accepts(family.prose(()), text)
    parser = family.parser(())
    events = [*parser.feed(text), *parser.finish()]
    assert "".join(getattr(event, "text", "") for event in events) == "It is sunny in Turin."


def told_by(generation, guard, continuation=None):
    parser = get_family("qwen2.5").parser(TOOLS)
    return ChatStream(generation, parser, EnforcedSchemas({}), None, guards=[guard], continuation=continuation)


async def test_a_call_that_is_asked_for_in_place_of_a_repeat_is_told_when_it_is_whole():
    guard = HeldCall(lambda call: call.arguments == {"q": "b"}, 0, refusal=RepeatedCall)
    answer = await fold(told_by(Spoken(call_text("search", q="b")), guard))
    assert [json.loads(call.arguments) for call in answer.tool_calls] == [{"q": "b"}]


async def test_one_that_is_not_asked_for_is_not_told():
    asked = []

    class Continuation:
        async def in_place_of(self, refused, _said):
            asked.append(refused.tool)
            if len(asked) == 1:
                guard = HeldCall(lambda _: False, 0, refusal=RepeatedCall)
                return Next(Spoken(call_text("search", q="c")), get_family("qwen2.5").parser(TOOLS), (guard,))
            return Next(Spoken("Sunny."), get_family("qwen2.5").parser(()), ())

        def ended(self):
            return ()

    answer = await fold(told_by(Spoken(call_text("search", q="a")), LoopGuard(ANSWERED), Continuation()))
    assert asked == ["search", "search"]
    assert (answer.content, answer.tool_calls) == ("Sunny.", ())
    assert answer.usage.completion == 3 * USAGE.completion
    assert len(answer.warnings) == 1
