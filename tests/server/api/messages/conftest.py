"""Anthropic's SDK over the application, without a socket, and a way to post bodies by hand."""

from __future__ import annotations

import httpx2
import pytest
from anthropic import AsyncAnthropic


@pytest.fixture
async def anthropic(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield AsyncAnthropic(http_client=client, base_url="http://test", api_key="any", max_retries=0)


@pytest.fixture
def send(http):
    """Post a message: the smallest valid body and the given fields."""

    async def post(path="/v1/messages", **fields):
        body = {"model": "tiny", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **fields}
        return await http.post(path, json={name: value for name, value in body.items() if value != "left out"})

    return post
