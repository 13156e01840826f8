"""An application over a scripted chat, and clients that reach it without a socket."""

from __future__ import annotations

import httpx
import pytest
from openai import AsyncOpenAI
from scripted_chat import ScriptedChat, ScriptedCompletion, served

from server.api.app import create_app
from server.api.state import ServingState


@pytest.fixture
def chat():
    return ScriptedChat()


@pytest.fixture
def completion():
    return ScriptedCompletion()


@pytest.fixture
def state(chat, completion):
    serving = ServingState()
    serving.ready(served(chat, completion, ("tiny", "tiny-file")))
    return serving


@pytest.fixture
def app(state):
    return create_app(state, max_body_bytes=10_000, ping_interval_s=0.05)


@pytest.fixture
async def http(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
async def openai(http):
    return AsyncOpenAI(http_client=http, base_url="http://test/v1", api_key="any", max_retries=0)


@pytest.fixture
def ask(http):
    """Post a chat completion: the smallest valid body and the given fields; `None` fields are sent as null."""

    async def post(**fields):
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], **fields}
        return await http.post("/v1/chat/completions", json=body)

    return post
