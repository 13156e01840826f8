"""The routes about the server, and the headers on every answer."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute
from scripted_chat import served

from server.api.system.routes import ROUTES


async def test_the_index_names_every_route(app):
    served = {f"{next(iter(r.methods))} {r.path}" for r in app.routes if isinstance(r, APIRoute)}
    assert served - {"GET /", "GET /v1/models/{name:path}"} <= set(ROUTES)


async def test_a_probe_of_the_root_is_answered_without_a_body(http):
    answer = await http.head("/")
    assert answer.status_code == 200


async def test_a_request_has_a_name_its_own_or_a_new_one(http):
    assert (await http.get("/health")).headers["x-request-id"].startswith("req_")
    kept = await http.get("/health", headers={"x-request-id": "mine-1"})
    assert kept.headers["x-request-id"] == "mine-1"
    for unsafe in ("a b", "x" * 129):
        renamed = await http.get("/health", headers={"x-request-id": unsafe})
        assert renamed.headers["x-request-id"].startswith("req_")
    assert int(kept.headers["openai-processing-ms"]) >= 0


async def test_metrics_count_requests_and_show_the_engine(http, state, chat, completion, ask):
    state.ready(served(chat, completion, measurements=lambda: {"tokens_total": 3, "running": 1}))
    await ask()
    await http.get("/v1/typed/by/someone")
    lines = (await http.get("/metrics")).text.splitlines()
    assert "functiongate_tokens_total 3.0" in lines
    assert "functiongate_running 1.0" in lines
    assert 'functiongate_http_requests_total{route="/v1/chat/completions",status="200"} 1.0' in lines
    assert not any("typed" in line for line in lines)


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/health"])
async def test_the_descriptions_are_there(http, path):
    assert (await http.get(path)).status_code == 200


async def test_the_description_for_machines_has_the_requests_schema(http):
    description = (await http.get("/openapi.json")).json()
    content = description["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]
    name = content["application/json"]["schema"]["$ref"].removeprefix("#/components/schemas/")
    assert "temperature" in description["components"]["schemas"][name]["properties"]
