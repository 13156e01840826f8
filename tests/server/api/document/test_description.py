"""The description for machines: whole, and true of what the routes answer."""

from __future__ import annotations

import json

import httpx
import jsonschema
import pytest
from fastapi.routing import APIRoute
from scripted_chat import served

from server.api.app import create_app
from server.api.document.operation import operation_id
from server.api.responses.stored.store import ResponseStore
from server.api.state import ServingState
from server.errors import DeadlineError, NotReadyError, OverloadedError

SAID = [{"role": "user", "content": "hi"}]


@pytest.fixture
def app(state, tmp_path):
    store = ResponseStore(tmp_path / "responses.db", max_bytes=1 << 20)
    yield create_app(state, max_body_bytes=10_000, store=store)
    store.close()


@pytest.fixture
def description(app):
    return json.loads(json.dumps(app.openapi()))


def operations(description):
    return [
        (method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        value = list(value.values())
    for part in value if isinstance(value, list) else []:
        yield from references(part)


def assert_described(description, method, path, response):
    """That the status, the media type and the body of an answer are in the description."""
    told = description["paths"][path][method]["responses"]
    assert str(response.status_code) in told, response.text
    content = told[str(response.status_code)].get("content", {})
    media_type = response.headers["content-type"].replace(" ", "")
    assert media_type in content, media_type
    if media_type == "application/json":
        schema = {**content[media_type]["schema"], "components": description["components"]}
        jsonschema.Draft202012Validator(schema).validate(response.json())


def test_every_route_is_an_operation_with_an_id_of_its_own(app, description):
    routes = {operation_id(next(iter(r.methods)), r.path) for r in app.routes if isinstance(r, APIRoute)}
    ids = [operation["operationId"] for _, _, operation in operations(description)]
    assert set(ids) == routes
    assert len(set(ids)) == len(ids)
    links = [
        link["operationId"]
        for _, _, operation in operations(description)
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert links
    assert set(links) <= set(ids)


def test_every_reference_leads_somewhere_in_the_description_itself(description):
    found = set(references(description))
    assert found
    for reference in found:
        assert reference.startswith("#/components/schemas/")
        assert reference.rpartition("/")[2] in description["components"]["schemas"]


def test_every_schema_is_one(description):
    for schema in description["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for _, _, operation in operations(description):
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                jsonschema.Draft202012Validator.check_schema(content.get("schema", {}))


async def test_every_example_of_a_body_is_answered_as_described(description, http):
    bodies = [each for each in operations(description) if "requestBody" in each[2]]
    assert len(bodies) > 10
    begun = (await http.post("/v1/conversations", json={})).json()["id"]
    for method, path, operation in bodies:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        if "model" in example:
            example = {**example, "model": "tiny"}
        response = await http.request(method, path.replace("{conversation_id}", begun), json=example)
        if path != "/v1/embeddings":  # of a model that gives some
            assert response.status_code == 200, (path, response.text)
        assert_described(description, method, path, response)


async def test_every_route_without_a_body_is_answered_as_described(description, http):
    response = (await http.post("/v1/responses", json={"model": "tiny", "input": "hi"})).json()
    conversation = (await http.post("/v1/conversations", json={"items": SAID})).json()
    ids = {"{response_id}": response["id"], "{conversation_id}": conversation["id"], "{name}": "tiny"}
    plain = [each for each in operations(description) if "requestBody" not in each[2] and each[0] != "head"]
    for method, path, _ in sorted(plain, key=lambda each: each[0] == "delete"):
        url = path
        for name, value in ids.items():
            url = url.replace(name, value)
        answer = await http.request(method, url)
        assert answer.status_code == (400 if path.endswith("/cancel") else 200)
        assert_described(description, method, path, answer)
    for path in ("/v1/models", "/v1/models/{name}"):
        answer = await http.get(path.replace("{name}", "tiny"), headers={"anthropic-version": "2023-06-01"})
        assert_described(description, "get", path, answer)


ANSWERING = {
    "/v1/chat/completions": {"model": "tiny", "messages": SAID},
    "/v1/messages": {"model": "tiny", "messages": SAID, "max_tokens": 8},
    "/v1/responses": {"model": "tiny", "input": "hi", "store": False},
    "/v1/completions": {"model": "tiny", "prompt": "hi"},
}


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize(
    "refusal",
    [OverloadedError("full", retry_after_s=1), NotReadyError("loading"), DeadlineError(1), ValueError("a fault")],
)
async def test_every_failure_of_an_answer_is_described(app, chat, completion, path, refusal):
    chat.refusal = completion.refusal = refusal
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        response = await http.post(path, json=ANSWERING[path])
    assert response.status_code >= 400
    assert_described(json.loads(json.dumps(app.openapi())), "post", path, response)


async def test_every_refusal_of_a_body_is_described(description, http):
    for method, path, operation in operations(description):
        if "requestBody" not in operation:
            continue
        for body, media_type in (
            (b"{", "application/json"),
            (b"{}", "text/plain"),
            (b" " * 20_000, "application/json"),
        ):
            response = await http.request(method, path, content=body, headers={"content-type": media_type})
            assert response.status_code in (400, 413, 415)
            assert_described(description, method, path, response)


@pytest.mark.parametrize(("settings", "status"), [({"api_keys": ["right"]}, 401), ({}, 403)])
async def test_every_refusal_of_a_client_is_described(state, settings, status):
    app = create_app(state, **settings)
    description = json.loads(json.dumps(app.openapi()))
    transport = httpx.ASGITransport(app)
    headers = {"origin": "https://elsewhere.example"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
        for method, path, _ in operations(description):
            if method == "head" or (status == 401 and path.endswith("/health")):
                continue
            response = await http.request(method, path)
            assert response.status_code == status
            assert_described(description, method, path, response)


async def test_a_server_without_a_model_says_so_as_described(description):
    app = create_app(ServingState())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        for path in ("/health", "/props", "/v1/models", "/api/tags", "/v1/models/{name}"):
            assert_described(description, "get", path, await http.get(path))


async def test_names_that_are_not_here_are_described(description, state, http):
    state.ready(served())
    for path in ("/v1/models/{name}", "/v1/responses/{response_id}", "/v1/conversations/{conversation_id}/items"):
        response = await http.get(path)
        assert response.status_code == 404
        assert_described(description, "get", path, response)


@pytest.mark.parametrize(
    ("path", "query"),
    [("/v1/responses/{response_id}/input_items", "limit=0"), ("/v1/conversations/{conversation_id}/items", "x=1")],
)
async def test_a_page_that_is_none_is_described(description, http, path, query):
    response = await http.get(f"{path}?{query}")
    assert response.status_code == 400
    assert_described(description, "get", path, response)


async def test_a_method_that_a_path_does_not_take_is_refused_with_those_that_it_does(description, http):
    for path, methods in description["paths"].items():
        response = await http.request("PUT", path)
        assert response.status_code == 405
        allowed = response.headers["allow"].split(", ")
        assert set(allowed) == {method.upper() for method in methods}
        assert response.json()["error"]["message"] == f"{path} does not take PUT."
