"""Pages in browsers: which may ask, which may not, and why a page of another name is refused and not only ignored."""

from __future__ import annotations

import httpx
import pytest

from server.api.app import create_app

BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
LOCAL = [
    "http://localhost",
    "http://localhost:3000",
    "https://127.0.0.1:8443",
    "http://[::1]:5173",
    "http://app.localhost",
    "app://obsidian.md",
    "tauri://localhost",
    "vscode-webview://0abc",
    "file://",
]
FOREIGN = [
    "http://evil.example",
    "https://localhost.evil.example",
    "http://evillocalhost",
    "http://127.0.0.1.evil.example",
    "http://10.0.0.7",
    "null",
    "chrome-extension://abc",
]


def client(state, **settings):
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(state, **settings)), base_url="http://test")


def preflight(origin):
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os,anthropic-version",
    }


@pytest.mark.parametrize("origin", LOCAL)
async def test_a_page_of_this_machine_may_ask(state, origin):
    async with client(state) as http:
        answer = await http.post("/v1/chat/completions", json=BODY, headers={"origin": origin})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_another_page_may_not(state, chat, origin):
    async with client(state) as http:
        for path, body in (("/v1/chat/completions", BODY), ("/v1/messages", {**BODY, "max_tokens": 9})):
            answer = await http.post(path, json=body, headers={"origin": origin})
            assert answer.status_code == 403
            assert "--cors-origins" in answer.json()["error"]["message"]
            assert "access-control-allow-origin" not in answer.headers
    assert chat.requests == []


async def test_a_name_that_was_pointed_at_this_machine_does_not_make_a_page_its_own(state, chat):
    async with client(state) as http:
        headers = {"origin": "http://evil.example:8000", "host": "evil.example:8000"}
        assert (await http.post("/v1/chat/completions", json=BODY, headers=headers)).status_code == 403
        for host in ("192.168.1.5:8000", "[fd00::1]:8000"):
            own = {"origin": f"http://{host}", "host": host}
            assert (await http.post("/v1/chat/completions", json=BODY, headers=own)).status_code == 200
    assert len(chat.requests) == 2


async def test_clients_that_are_no_pages_send_no_origin_and_are_answered(ask):
    answer = await ask()
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("keys", [(), ("right",)])
async def test_a_preflight_needs_no_key(state, keys):
    async with client(state, api_keys=keys) as http:
        answer = await http.options("/v1/chat/completions", headers=preflight("http://localhost:3000"))
        assert answer.status_code == 200
        assert "anthropic-version" in answer.headers["access-control-allow-headers"]
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert (await http.options("/v1/chat/completions", headers=preflight("http://evil.example"))).status_code == 400


async def test_whoever_shows_a_key_needs_no_origin_and_a_page_can_read_why_it_was_refused(state):
    async with client(state, api_keys=["right"]) as http:
        headers = {"origin": "http://evil.example", "authorization": "Bearer right"}
        assert (await http.post("/v1/chat/completions", json=BODY, headers=headers)).status_code == 200
        refused = await http.post("/v1/chat/completions", json=BODY, headers={"origin": "http://localhost"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "http://localhost")


@pytest.mark.parametrize(
    ("origins", "allowed", "refused"),
    [
        (["https://chat.example/"], ["https://chat.example"], ["http://localhost", "https://chatxexample"]),
        (["local", "https://chat.example"], ["https://chat.example", "http://localhost"], ["http://chat.example"]),
        (["*"], [*LOCAL, *FOREIGN], []),
        ([], [], [*LOCAL, *FOREIGN]),
    ],
)
async def test_other_pages_are_allowed_by_name(state, origins, allowed, refused):
    async with client(state, cors_origins=origins) as http:
        for origin in allowed:
            assert (await http.get("/v1/models", headers={"origin": origin})).status_code == 200
        for origin in refused:
            assert (await http.get("/v1/models", headers={"origin": origin})).status_code == 403
