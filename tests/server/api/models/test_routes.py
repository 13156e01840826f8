"""The served model as its clients' own code reads it."""

from __future__ import annotations

import json
from dataclasses import replace

import anthropic as sdk
import httpx2
import pytest
from anthropic.types import ModelInfo
from scripted_chat import FACTS, served

from server.api.app import create_app
from server.api.state import ServingState
from server.version import functiongate_version

ANTHROPIC = {"anthropic-version": "2023-06-01"}


@pytest.fixture
async def anthropic(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield sdk.AsyncAnthropic(http_client=client, base_url="http://test", api_key="any", max_retries=0)


async def test_openais_sdk_lists_and_finds_the_model_by_every_name(openai):
    assert [model.id async for model in openai.models.list()] == ["tiny"]
    for name in ("tiny", "tiny-file"):
        assert (await openai.models.retrieve(name)).id == name


async def test_an_unknown_model_is_not_listed(http):
    response = await http.get("/v1/models/org/unknown")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_anthropics_sdk_lists_and_finds_the_model(anthropic):
    (model,) = [model async for model in anthropic.models.list(limit=1000)]
    assert (model.id, model.max_input_tokens, model.lifecycle) == ("tiny", FACTS.n_ctx, "active")
    assert await anthropic.models.retrieve("tiny-file") == model.model_copy(
        update={"id": "tiny-file", "display_name": "tiny-file"}
    )


async def test_anthropics_pages_end(http):
    page = (await http.get("/v1/models", headers=ANTHROPIC)).json()
    ModelInfo.model_validate_json(json.dumps(page["data"][0]), strict=True)
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, "tiny", "tiny")
    for passed in ("after_id=tiny", "before_id=tiny"):
        page = (await http.get(f"/v1/models?{passed}", headers=ANTHROPIC)).json()
        assert (page["data"], page["has_more"], page["last_id"]) == ([], False, None)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "9" * 30])
async def test_a_limit_that_is_none_is_refused(http, limit):
    response = await http.get(f"/v1/models?limit={limit}", headers=ANTHROPIC)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "limit")


async def test_editors_find_the_context_and_that_there_are_tools(http):
    (entry,) = (await http.get("/v1/models")).json()["data"]
    assert (entry["meta"]["n_ctx"], entry["meta"]["n_ctx_train"]) == (FACTS.n_ctx, FACTS.n_ctx_train)
    assert "status" not in entry
    props = (await http.get("/props")).json()
    assert props["default_generation_settings"]["n_ctx"] == FACTS.n_ctx
    assert props["chat_template_caps"]["supports_tool_calls"] is True
    assert props["modalities"]["vision"] is False
    assert (props["model_alias"], props["total_slots"], props["chat_template"]) == ("tiny", 4, "{{ messages }}")


async def test_codex_finds_every_field_that_it_demands(http):
    """Its catalogue of models is parsed as a whole: one field that lacks loses all of it."""
    (model,) = (await http.get("/v1/models")).json()["models"]
    demanded = {
        "slug": str,
        "display_name": str,
        "supported_reasoning_levels": list,
        "shell_type": str,
        "visibility": str,
        "supported_in_api": bool,
        "priority": int,
        "base_instructions": str,
        "supports_reasoning_summaries": bool,
        "support_verbosity": bool,
        "truncation_policy": dict,
        "supports_parallel_tool_calls": bool,
        "experimental_supported_tools": list,
    }
    assert {name: type(model[name]) for name in demanded} == demanded
    assert model["context_window"] == FACTS.n_ctx


async def test_ollamas_clients_find_the_model_and_a_version(http):
    (model,) = (await http.get("/api/tags")).json()["models"]
    assert (model["name"], model["details"]["quantization_level"]) == ("tiny", "Q4_1")
    assert "tools" in model["capabilities"]
    for path in ("/api/version", "/version"):
        assert (await http.get(path)).json() == {"version": functiongate_version()}


async def test_a_model_that_can_think_says_so(http, state):
    state.ready(served(facts=replace(FACTS, can_think=True)))
    assert "thinking" in (await http.get("/api/tags")).json()["models"][0]["capabilities"]


async def test_while_the_model_is_loading_there_is_none():
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(create_app(ServingState())), base_url="http://test"
    ) as client:
        assert (await client.get("/v1/models")).json() == {"object": "list", "data": [], "models": []}
        assert (await client.get("/v1/models", headers=ANTHROPIC)).json()["data"] == []
        assert (await client.get("/api/tags")).json() == {"models": []}
        assert (await client.get("/props")).status_code == 503
