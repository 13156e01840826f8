"""What outlives its answer: previous responses, references to items, retrieval; whose it is, and what is dropped."""

from __future__ import annotations

import httpx
import openai as sdk
import pytest
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter
from scripted_chat import CALLS, TEXT

from server.api.app import create_app
from server.api.responses.stored.store import ResponseStore

ITEM = TypeAdapter(ResponseItem)
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}


async def test_a_response_goes_on_from_the_one_before_it_with_instructions_of_its_own(ask, chat):
    chat.script = CALLS
    first = (await ask(input="weather?", instructions="One.", tools=[WEATHER])).json()
    chat.script = TEXT
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "sun"} for item in first["output"]
    ]
    second = (await ask(input=results, instructions="Two.", previous_response_id=first["id"])).json()
    assert second["previous_response_id"] == first["id"]
    third = (await ask(input="and now?", previous_response_id=second["id"])).json()
    assert third["status"] == "completed"
    roles = [message["role"] for message in chat.requests[1].messages]
    assert roles == ["system", "user", "assistant", "tool", "tool"]
    assert chat.requests[1].messages[0]["content"] == "Two."
    assert [message["role"] for message in chat.requests[2].messages] == [*roles[1:], "assistant", "user"]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_answered_is_retrieved_and_deleted(openai, stream):
    if stream:
        async with openai.responses.stream(model="tiny", input="hi") as events:
            told = await events.get_final_response()
    else:
        told = await openai.responses.create(model="tiny", input="hi")
    found = await openai.responses.retrieve(told.id)
    assert (found.id, found.output_text, found.status) == (told.id, "Hello, 世界", "completed")
    await openai.responses.delete(told.id)
    for ask in (openai.responses.retrieve, openai.responses.delete, openai.responses.cancel):
        with pytest.raises(sdk.NotFoundError):
            await ask(told.id)


async def test_what_is_not_to_be_stored_is_not(ask, http):
    told = (await ask(store=False)).json()
    assert told["store"] is False
    assert (await http.get(f"/v1/responses/{told['id']}")).status_code == 404
    refused = await ask(previous_response_id=told["id"])
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, "previous_response_id")


async def test_what_goes_on_from_a_deleted_response_is_refused_not_shortened(ask, http):
    first = (await ask()).json()
    second = (await ask(previous_response_id=first["id"])).json()
    await http.delete(f"/v1/responses/{first['id']}")
    refused = await ask(previous_response_id=second["id"])
    assert refused.json()["error"]["code"] == "previous_response_not_found"


async def test_a_reference_is_the_item_itself(ask, chat, http):
    chat.script = CALLS
    first = (await ask(input=[{"role": "user", "content": "weather?"}], tools=[WEATHER])).json()
    listed = (await http.get(f"/v1/responses/{first['id']}/input_items")).json()["data"]
    chat.script = TEXT
    references = [{"type": "item_reference", "id": item["id"]} for item in (*listed, *first["output"])]
    references[1].pop("type")
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "sun"} for item in first["output"]
    ]
    again = await ask(input=[*references, *results])
    assert again.status_code == 200, again.text
    user, assistant, *_ = chat.requests[-1].messages
    assert user["content"] == [{"type": "text", "text": "weather?"}]
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_a", "call_b"]


async def test_input_items_come_page_by_page_and_are_the_sdks(ask, openai):
    items = [{"role": "user", "content": f"{i}"} for i in range(5)]
    items[2] = {"role": "assistant", "content": "2"}
    told = (await ask(input=items)).json()
    pages = openai.responses.input_items.list(told["id"], limit=2)
    found = [item async for item in pages]
    assert [item.content[0].text for item in found] == ["4", "3", "2", "1", "0"]
    for item in found:
        ITEM.validate_python(item.to_dict())
    oldest = await openai.responses.input_items.list(told["id"], order="asc", limit=3)
    assert ([item.content[0].text for item in oldest.data], oldest.has_more) == (["0", "1", "2"], True)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=msg_x", "colour=1"])
async def test_a_page_that_cannot_be_is_refused_by_name(ask, http, query):
    told = (await ask()).json()
    refused = await http.get(f"/v1/responses/{told['id']}/input_items?{query}")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, query.split("=")[0])


async def test_nothing_is_cancelled_or_streamed_again(ask, http):
    told = (await ask()).json()
    refused = await http.post(f"/v1/responses/{told['id']}/cancel")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "response_id")
    assert (await http.get(f"/v1/responses/{told['id']}?stream=true")).status_code == 400
    assert (await http.get(f"/v1/responses/{told['id']}?stream=false")).status_code == 200


async def test_nobody_finds_what_another_key_stored(state, store):
    app = create_app(state, api_keys=("one", "two"), store=store)
    body = {"model": "tiny", "input": "hi"}

    async def of(key, method, path, **more):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/v1") as http:
            return await http.request(method, path, headers={"authorization": f"Bearer {key}"}, **more)

    told = (await of("one", "POST", "/responses", json=body)).json()
    path = f"/responses/{told['id']}"
    assert (await of("one", "GET", path)).status_code == 200
    for method, place in (("GET", path), ("DELETE", path), ("GET", f"{path}/input_items")):
        assert (await of("two", method, place)).status_code == 404
    for fields in (
        {"previous_response_id": told["id"]},
        {"input": [{"type": "item_reference", "id": told["output"][0]["id"]}]},
    ):
        assert (await of("two", "POST", "/responses", json={**body, **fields})).status_code in (400, 404)
    assert (await of("one", "POST", "/responses", json={**body, "previous_response_id": told["id"]})).status_code == 200


async def test_a_response_that_cannot_be_stored_is_answered_and_says_so(ask, store, http):
    store.close()
    told = (await ask()).json()
    assert (told["status"], told["store"]) == ("completed", False)
    assert [warning["type"] for warning in told["warnings"]] == ["not_stored"]
    assert (await http.get(f"/v1/responses/{told['id']}")).status_code == 500


async def test_what_was_stored_is_found_by_the_next_process(ask, state, store, tmp_path):
    told = (await ask()).json()
    store.close()
    again = ResponseStore(tmp_path / "responses.db", max_bytes=1 << 20)
    transport = httpx.ASGITransport(create_app(state, store=again))
    async with httpx.AsyncClient(transport=transport, base_url="http://test/v1") as http:
        assert (await http.get(f"/responses/{told['id']}")).json() == told
    again.close()
