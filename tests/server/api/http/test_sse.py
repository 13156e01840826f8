"""Streams: pings, errors in the middle, and clients that leave."""

from __future__ import annotations

import asyncio
import json

import openai as sdk
import pytest
from leaving_client import run_until_left
from scripted_chat import CALLS, TEXT

from server.errors import EngineError

MESSAGES = [{"role": "user", "content": "hi"}]


async def test_silence_is_filled_with_pings(chat, openai, http):
    proceed = asyncio.Event()
    chat.script = (proceed, *TEXT)
    body = {"model": "tiny", "messages": MESSAGES, "stream": True}
    request = asyncio.ensure_future(http.post("/v1/chat/completions", json=body))
    asyncio.get_running_loop().call_later(0.3, proceed.set)
    text = (await request).text
    assert text.startswith(": ping\n\n: ping\n\n")
    assert text.endswith("data: [DONE]\n\n")

    proceed.clear()
    chat.script = (proceed, *TEXT)
    asyncio.get_running_loop().call_later(0.2, proceed.set)
    stream = await openai.chat.completions.create(model="tiny", messages=MESSAGES, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hello, 世界"


async def test_streams_are_not_buffered_on_their_way(ask):
    response = await ask(stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-cache"
    assert "openai-processing-ms" not in response.headers


@pytest.mark.parametrize("failure", [EngineError("the context broke"), ValueError("secret")])
async def test_an_error_in_the_middle_is_the_last_event(chat, ask, openai, failure):
    chat.script = (TEXT[0], failure)
    text = (await ask(stream=True)).text
    last = json.loads(text.strip().rpartition("data: ")[2])
    assert last["error"]["type"] == "server_error"
    assert "[DONE]" not in text
    assert "secret" not in text
    stream = await openai.chat.completions.create(model="tiny", messages=MESSAGES, stream=True)
    with pytest.raises(sdk.APIError):
        _ = [chunk async for chunk in stream]
    assert all(stream.is_closed.is_set() for stream in chat.streams)


async def test_an_error_while_a_whole_answer_is_made_is_a_500(chat, ask):
    chat.script = (TEXT[0], EngineError("the context broke"))
    response = await ask()
    assert response.status_code == 500
    assert chat.streams[0].is_closed.is_set()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("script_head", [(), TEXT[:1], CALLS[:3]])
async def test_a_client_that_leaves_stops_its_generation(chat, app, stream, script_head):
    never, leave = asyncio.Event(), asyncio.Event()
    chat.script = (*script_head, never)
    asyncio.get_running_loop().call_later(0.12, leave.set)
    body = {"model": "tiny", "messages": MESSAGES, "stream": stream}
    sent = await run_until_left(app, "/v1/chat/completions", body, leave)
    assert chat.streams[0].is_closed.is_set()
    assert not any(b"[DONE]" in message.get("body", b"") for message in sent)


async def test_a_finished_answer_closes_its_source(chat, ask):
    await ask()
    await ask(stream=True)
    assert [stream.is_closed.is_set() for stream in chat.streams] == [True, True]


async def test_a_source_is_closed_even_if_the_client_never_took_a_byte(chat, app):
    leave = asyncio.Event()
    leave.set()
    chat.script = TEXT
    body = {"model": "tiny", "messages": MESSAGES, "stream": True}
    await run_until_left(app, "/v1/chat/completions", body, leave)
    assert chat.streams[0].is_closed.is_set()


async def test_a_write_that_fails_closes_the_source(chat, app):
    body = json.dumps({"model": "tiny", "messages": MESSAGES, "stream": True}).encode()
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        if incoming:
            return incoming.pop()
        return await asyncio.Event().wait()

    async def send(message):
        if message["type"] == "http.response.body":
            raise BrokenPipeError

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
    await app({**scope, "query_string": b"", "http_version": "1.1", "scheme": "http", "asgi": {}}, receive, send)
    assert chat.streams[0].is_closed.is_set()
