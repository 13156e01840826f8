"""Bodies that nobody sends by mistake, on every route that takes one: refused in time, never a failure of ours."""

from __future__ import annotations

import copy
import gc
import json
import random
import time

import httpx
import pytest

from server.api.app import create_app

N_BODIES = 200  # on each route
MAX_SECONDS = 1.0

FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
SAID = [{"role": "user", "content": "hi"}]
BODIES = {
    "/v1/chat/completions": {
        "model": "tiny",
        "messages": SAID,
        "tools": [{"type": "function", "function": FUNCTION}],
        "tool_choice": "auto",
        "n": 1,
        "stop": ["x"],
        "logit_bias": {"1": 1},
    },
    "/v1/completions": {"model": "tiny", "prompt": "hi", "n": 1, "stop": ["x"]},
    "/v1/embeddings": {"model": "tiny", "input": ["hi"]},
    "/v1/messages": {
        "model": "tiny",
        "max_tokens": 8,
        "messages": SAID,
        "system": [{"type": "text", "text": "be kind"}],
        "tools": [{"name": "f", "description": "d", "input_schema": FUNCTION["parameters"]}],
        "tool_choice": {"type": "auto"},
    },
    "/v1/messages/count_tokens": {"model": "tiny", "messages": SAID},
    "/v1/responses": {
        "model": "tiny",
        "input": SAID,
        "tools": [{"type": "function", **FUNCTION}],
        "tool_choice": "auto",
        "text": {"format": {"type": "text"}},
        "store": False,
    },
    "/v1/responses/input_tokens": {"model": "tiny", "input": SAID},
    "/v1/conversations": {"items": SAID, "metadata": {"a": "b"}},
    "/tokenize": {"content": "hi"},
    "/detokenize": {"tokens": [1]},
    "/apply-template": {"messages": SAID},
    "/v1/chat/completions/input_tokens": {"messages": SAID},
}
# Where llama-server's clients ask as well.
BARE = ("chat/completions", "chat/completions/input_tokens", "responses", "responses/input_tokens")
BODIES |= {f"/{name}": BODIES[f"/v1/{name}"] for name in BARE}


@pytest.fixture
def app(state):
    return create_app(state, max_body_bytes=4 << 20)


def deep(n, inner=1):
    for _ in range(n):
        inner = {"a": inner}
    return inner


ODD = (
    *(None, True, -1, 0, 10**9, 10**30, -(2**63), 1.5, 1e308, "", "\x00", "\ud800", "a" * 70_000, "<|im_end|>"),
    *([], {}, [[]], [None], {"type": None}, {"type": "function"}, {"": ""}, deep(20), deep(120), deep(200)),
    *(
        [i / 7 for i in range(2000)],
        {str(i): i for i in range(2000)},
        ["x"] * 5000,
        [{"type": "text"} for _ in range(2000)],
    ),
    *({"$ref": "#"}, {"type": "object", "properties": {"a": {"$ref": "#/a/b"}}}, {"anyOf": [{} for _ in range(2000)]}),
    *({"type": "string", "pattern": "(a*)*" * 50}, {"enum": list(range(20_000))}, {"maxLength": 10**18}),
)


def places(value, at=()):
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*at, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from places(inner, (*at, i))


def mutated(body, rng):
    """The body with one to three odd values somewhere, or with odd members beside its own."""
    body = copy.deepcopy(body)
    for _ in range(rng.randint(1, 3)):
        *path, last = rng.choice([at for at in places(body) if at])
        holder = body
        for step in path:
            holder = holder[step]
        holder[last] = copy.deepcopy(rng.choice(ODD))
    if rng.random() < 0.2:
        body[rng.choice(["tools", "stream", "temperature", "unknown", "max_tokens"])] = rng.choice(ODD)
    return body


def test_every_route_that_takes_a_body_is_tried(app):
    posts = {route.path for route in app.routes if "POST" in getattr(route, "methods", ()) and "{" not in route.path}
    assert posts == BODIES.keys()


@pytest.mark.parametrize("path", BODIES)
async def test_hostile_bodies_are_answered_in_time_and_by_name(app, path):
    rng = random.Random(path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for _ in range(N_BODIES):
            body = mutated(BODIES[path], rng)
            # Python's JSON may write what JSON has not; the rest of it is bytes that a client can send.
            text = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
            begin = time.perf_counter()
            response = await client.post(path, content=text, headers={"content-type": "application/json"})
            seconds = time.perf_counter() - begin
            assert seconds < MAX_SECONDS, text[:500]
            assert response.status_code < 500, (response.text, text[:500])
            if response.status_code >= 400:
                assert response.json()["error"]["message"]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"a"', b"{", b"\xff\xfe", b'{"a":NaN}', b'{"a":1e999}', b"[" * 100_000, b'{"a":' * 9999],
)
async def test_what_is_no_object_is_refused(app, path, body):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["message"]


async def test_a_body_of_megabytes_that_is_all_nesting_takes_less_than_a_second_of_the_processor(app):
    body = {"model": "tiny", "messages": [deep(120) for _ in range(2000)]}
    text = json.dumps(body).encode()
    assert len(text) > 1_000_000
    gc.collect()
    gc.freeze()  # the collector would look through all that the suite has made, again and again while the body is read
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        begin = time.process_time()
        response = await client.post("/v1/chat/completions", content=text, headers={"content-type": "application/json"})
        seconds = time.process_time() - begin
    gc.unfreeze()
    assert response.status_code == 400
    assert seconds < MAX_SECONDS
