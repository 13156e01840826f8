"""The decision report of SmolLM2: the same in company, the same answers, and figures that make sense."""

from __future__ import annotations

import asyncio

import pytest

from chat_templates import get_family
from server.chat.answer.stream import fold
from server.chat.request import ChatRequest
from server.chat.service import ChatService
from server.engine.async_engine import AsyncEngine
from server.engine.runner import LlamaRunner
from server.engine.types import SamplingParams

pytestmark = pytest.mark.native

CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
TOOLS = tuple(
    {"type": "function", "function": {"name": name, "description": text, "parameters": CITY}}
    for name, text in (("get_weather", "The weather of a city"), ("get_time", "The time in a city"))
)
QUESTIONS = ("What is the weather in Paris?", "What time is it in Tokyo?", "Hello!")


@pytest.fixture(scope="module")
def service(smollm2_path):
    from server.llama.context import Context
    from server.llama.model import Model

    with Model(smollm2_path) as model:
        context = Context(model, n_ctx=4096, n_batch=512, n_ubatch=512, n_seq_max=8, n_threads=2)
        engine = AsyncEngine(LlamaRunner(context), model.vocabulary, n_parallel=4)
        yield ChatService(engine, get_family("generic"), call_bias=4.0)
        engine.close()


async def ask(service, question, **fields):
    settings = {"sampling": SamplingParams(temperature=0.0), "max_tokens": 24, "wants_decisions": True, **fields}
    return await fold(await service.open(ChatRequest(({"role": "user", "content": question},), TOOLS, **settings)))


def figures(value):
    """The numbers of a report, in order."""
    if isinstance(value, float):
        return [value]
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [figure for each in values for figure in figures(each)]


async def test_what_is_told_does_not_depend_on_company(service):
    alone = [await ask(service, question) for question in QUESTIONS]
    together = await asyncio.gather(*(ask(service, question) for question in QUESTIONS))
    for one, other in zip(alone, together, strict=True):
        assert one.content == other.content
        assert figures(one.decisions.fields()) == pytest.approx(figures(other.decisions.fields()), abs=1e-4)


async def test_an_answer_is_the_same_with_its_decisions_and_without(service):
    for choice in ("auto", "required"):
        told = await ask(service, QUESTIONS[0], tool_choice=choice)
        untold = await ask(service, QUESTIONS[0], tool_choice=choice, wants_decisions=False)
        assert (told.content, told.finish_reason) == (untold.content, untold.finish_reason)
        assert [call.arguments for call in told.tool_calls] == [call.arguments for call in untold.tool_calls]


async def test_a_question_is_likelier_a_call_than_a_greeting_is(service):
    def odds(choice):
        return choice.p if choice.chosen == "call" else 1.0 - choice.p

    asked, _, greeted = [odds((await ask(service, question)).decisions.call) for question in QUESTIONS]
    assert asked > greeted
    called = (await ask(service, QUESTIONS[0], tool_choice="required")).decisions.calls[0]
    assert (called.name, called.begun.is_forced) == ("get_weather", True)
    assert called.tool.p > 0.5
    assert called.arguments[0].value.chosen == "Paris"
