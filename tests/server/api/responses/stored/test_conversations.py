"""Conversations: what follows what, and whose they are."""

from __future__ import annotations

import httpx
import openai as sdk
import pytest
from scripted_chat import CALLS, TEXT

from server.api.app import create_app

WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}


async def test_responses_of_a_conversation_follow_each_other(openai, chat):
    begun = await openai.conversations.create(
        items=[{"type": "message", "role": "user", "content": "I am Ada."}], metadata={"k": "v"}
    )
    chat.script = CALLS
    first = await openai.responses.create(model="tiny", input="weather?", conversation=begun.id, tools=[WEATHER])
    assert first.conversation.id == begun.id
    chat.script = TEXT
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "sun"} for call in first.output]
    await openai.responses.create(model="tiny", input=outputs, conversation={"id": begun.id})
    roles = [message["role"] for message in chat.requests[-1].messages]
    assert roles == ["user", "user", "assistant", "tool", "tool"]
    items = [item async for item in openai.conversations.items.list(begun.id, order="asc", limit=3)]
    assert [item.type for item in items] == [
        *("message", "message"),
        *("function_call", "function_call"),
        *("function_call_output", "function_call_output"),
        "message",
    ]
    assert len({item.id for item in items}) == len(items)
    found = await openai.conversations.retrieve(begun.id)
    assert (found.metadata, found.created_at) == ({"k": "v"}, begun.created_at)


async def test_items_are_added_and_checked_after_what_was_said(openai, http, chat):
    begun = await openai.conversations.create()
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": "x"}
    refused = await http.post(f"/v1/conversations/{begun.id}/items", json={"items": [result]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "items[0].call_id")
    assert len((await openai.conversations.items.create(begun.id, items=[call])).data) == 1
    await openai.conversations.items.create(begun.id, items=[result])
    await openai.responses.create(model="tiny", input="so?", conversation=begun.id)
    assert [message["role"] for message in chat.requests[-1].messages] == ["assistant", "tool", "user"]
    refused = await http.post(f"/v1/conversations/{begun.id}/items", json={"items": []})
    assert refused.json()["error"]["param"] == "items"


async def test_a_conversation_that_has_ended_is_gone_with_its_responses(openai, ask):
    begun = await openai.conversations.create()
    told = await openai.responses.create(model="tiny", input="hi", conversation=begun.id)
    assert (await openai.conversations.delete(begun.id)).deleted
    with pytest.raises(sdk.NotFoundError):
        await openai.responses.retrieve(told.id)
    for call in (openai.conversations.retrieve, openai.conversations.delete, openai.conversations.items.list):
        with pytest.raises(sdk.NotFoundError):
            await call(begun.id)
    refused = await ask(conversation=begun.id)
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, "conversation")


async def test_a_response_whose_conversation_ends_meanwhile_says_that_it_is_not_stored(openai, chat, store, ask):
    begun = await openai.conversations.create()

    class End:
        async def wait(self):
            store.end("", begun.id)

    chat.script = (End(), *TEXT)
    told = (await ask(conversation=begun.id)).json()
    assert (told["store"], told["warnings"][0]["type"]) == (False, "not_stored")


async def test_nobody_enters_anothers_conversation(state, store):
    app = create_app(state, api_keys=("one", "two"), store=store)

    async def of(key, method, path, **more):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/v1") as http:
            return await http.request(method, path, headers={"authorization": f"Bearer {key}"}, **more)

    begun = (await of("one", "POST", "/conversations", json={})).json()["id"]
    body = {"model": "tiny", "input": "hi", "conversation": begun}
    assert (await of("two", "POST", "/responses", json=body)).status_code == 404
    item = {"items": [{"role": "user", "content": "x"}]}
    for method, path, more in (
        ("GET", "", {}),
        ("DELETE", "", {}),
        ("GET", "/items", {}),
        ("POST", "/items", {"json": item}),
    ):
        assert (await of("two", method, f"/conversations/{begun}{path}", **more)).status_code == 404
    assert (await of("one", "POST", "/responses", json=body)).status_code == 200


async def test_without_a_store_there_are_none(state):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(state)), base_url="http://test") as http:
        refused = await http.post("/v1/conversations", json={})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "conversation")
