"""The temperature of requests that name none, through the front door of every dialect."""

from __future__ import annotations

import pytest
from scripted_chat import served

FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": FUNCTION}]
SCHEMA = {"type": "object"}
CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
RESPONSES = ("/v1/responses", {"input": "hi", "store": False})
MESSAGES = ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9})
COMPLETIONS = ("/v1/completions", {"prompt": "hi"})
DECIDED = [
    (*CHAT, {"tools": TOOLS}),
    (*CHAT, {"functions": [FUNCTION]}),
    (*CHAT, {"response_format": {"type": "json_object"}}),
    (*RESPONSES, {"tools": [{"type": "function", **FUNCTION}]}),
    (*RESPONSES, {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}}),
    (*MESSAGES, {"tools": [{"name": "f", "input_schema": SCHEMA}]}),
    (*MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
]
PROSE = [(*each, {}) for each in (CHAT, RESPONSES, MESSAGES, COMPLETIONS)]


@pytest.fixture
def temperature(http, chat, completion):
    """The temperature at which a body of a route is answered."""

    async def asked(route, *fields):
        body = {"model": "tiny"}
        for each in fields:
            body |= each
        answered = await http.post(route, json=body)
        assert answered.status_code == 200, answered.text
        return (chat.requests or completion.requests)[-1].sampling.temperature

    return asked


@pytest.mark.parametrize(("route", "least", "fields"), DECIDED)
async def test_what_may_be_a_call_or_has_to_be_json_is_decided_greedily(temperature, route, least, fields):
    assert await temperature(route, least, fields) == 0


@pytest.mark.parametrize(("route", "least", "fields"), PROSE)
async def test_prose_has_openais_temperature(temperature, route, least, fields):
    assert await temperature(route, least, fields) == 1


@pytest.mark.parametrize("drawn", [{"top_p": 0.9}, {"top_k": 40}, {"min_p": 0.05}, {"seed": 7}])
@pytest.mark.parametrize(("route", "least", "fields"), DECIDED)
async def test_a_body_that_says_how_to_draw_is_drawn(temperature, route, least, fields, drawn):
    assert await temperature(route, least, fields, drawn) == 1


async def test_several_answers_are_drawn(temperature):
    assert await temperature(*CHAT, {"tools": TOOLS, "n": 2}) == 1


@pytest.mark.parametrize("body", DECIDED + PROSE)
async def test_the_body_wins_over_the_server_and_the_server_over_the_kind(temperature, state, chat, completion, body):
    state.ready(served(chat, completion, temperature=0.25))
    assert await temperature(*body) == 0.25
    assert await temperature(*body, {"temperature": 0.75}) == 0.75


async def test_a_response_tells_the_temperature_that_it_was_made_at(http):
    tool = {"type": "function", **FUNCTION}
    told = await http.post("/v1/responses", json={"model": "tiny", "input": "hi", "store": False, "tools": [tool]})
    assert told.json()["temperature"] == 0
