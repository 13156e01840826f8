"""How a request is served: whose it is, how long it may take, what is kept of it."""

from __future__ import annotations

import httpx
import openai as sdk
import pytest

from server.api.app import create_app
from server.engine.types import ServiceTerms
from server.errors import DeadlineError


async def test_without_keys_all_requests_are_nobodys_and_have_no_limits_of_their_own(ask, chat):
    assert (await ask()).status_code == 200
    assert chat.requests[0].terms == ServiceTerms()


async def test_a_request_says_its_timeout_and_its_cache_key(ask, chat):
    assert (await ask(timeout=2.5, prompt_cache_key="talk")).status_code == 200
    assert chat.requests[0].terms == ServiceTerms(owner="", timeout_s=2.5, cache_key="/talk")


@pytest.mark.parametrize(
    "fields", [{"timeout": 0}, {"timeout": -1}, {"timeout": "2"}, {"prompt_cache_key": ""}], ids=str
)
async def test_limits_that_mean_nothing_are_refused_by_name(ask, fields):
    refused = await ask(**fields)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == next(iter(fields))


async def test_owners_are_told_apart_by_their_keys_and_so_are_their_cache_keys(state, chat, completion):
    app = create_app(state, api_keys=("one", "two"))
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "prompt_cache_key": "talk"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        for key in ("one", "two", "one"):
            headers = {"authorization": f"Bearer {key}"}
            assert (await http.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
        text = {"model": "tiny", "prompt": "a"}
        await http.post("/v1/completions", json=text, headers={"x-api-key": "two"})
    first, second, third = (request.terms for request in chat.requests)
    assert first == third
    assert first.owner != second.owner
    assert first.cache_key != second.cache_key
    assert completion.requests[0].terms.owner == second.owner
    assert "one" not in first.owner + str(first.cache_key), "a key is a secret: it goes no further"


async def test_a_deadline_is_a_408_that_clients_do_not_try_again(ask, chat, http):
    chat.refusal = DeadlineError(2.5)
    late = await ask()
    assert late.status_code == 408
    assert late.json()["error"]["code"] == "timeout"
    assert late.headers["x-should-retry"] == "false"
    client = sdk.AsyncOpenAI(http_client=http, base_url="http://test/v1", api_key="any", max_retries=2)
    with pytest.raises(sdk.APIStatusError):
        await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}])
    assert len(chat.requests) == 2
