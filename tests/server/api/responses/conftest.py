"""An application that stores responses, and ways to ask it."""

from __future__ import annotations

import json

import pytest

from server.api.app import create_app
from server.api.responses.stored.store import ResponseStore


@pytest.fixture
def store(tmp_path):
    kept = ResponseStore(tmp_path / "responses.db", max_bytes=1 << 20)
    yield kept
    kept.close()


@pytest.fixture
def app(state, store):
    return create_app(state, max_body_bytes=60_000, ping_interval_s=0.05, store=store)


@pytest.fixture
def ask(http):
    """Post a request for a response: the smallest valid body and the given fields."""

    async def post(**fields):
        return await http.post("/v1/responses", json={"model": "tiny", "input": "hi", **fields})

    return post


@pytest.fixture
def stream(ask):
    """The events of a streamed response, checked for their names, numbers and end."""

    async def read(**fields):
        text = (await ask(stream=True, **fields)).text
        *parts, last = text.strip().split("\n\n")
        assert last == "data: [DONE]"
        events = []
        for i, part in enumerate(parts):
            name, data = part.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            assert event["sequence_number"] == i
            events.append(event)
        return events

    return read
