"""What llama-server's clients ask: a base URL without /v1, no model, how long a prompt is."""

from __future__ import annotations

import dataclasses

import pytest

SAID = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", {"messages": SAID}),
        ("/chat/completions/input_tokens", {"messages": SAID}),
        ("/responses", {"input": "hi", "store": False}),
        ("/responses/input_tokens", {"input": "hi"}),
    ],
)
async def test_a_base_url_may_end_without_its_version(http, path, body):
    body = {"model": "tiny", **body}
    bare, versioned = [await http.post(at + path, json=body) for at in ("", "/v1")]
    assert (bare.status_code, versioned.status_code) == (200, 200)
    assert bare.json().keys() == versioned.json().keys()


@pytest.mark.parametrize("path", ["/health", "/models"])
async def test_what_is_there_is_told_without_a_version_too(http, path):
    assert (await http.get(path)).json() == (await http.get("/v1" + path)).json()


async def test_a_prompt_is_counted_as_a_response_is(http):
    counted = (await http.post("/v1/chat/completions/input_tokens", json={"messages": SAID})).json()
    assert counted == (await http.post("/v1/responses/input_tokens", json={"model": "tiny", "input": "hi"})).json()
    assert counted["input_tokens"] > 0


ASKED = [
    ("/v1/chat/completions", {"messages": SAID}),
    ("/v1/completions", {"prompt": "hi"}),
    ("/v1/responses", {"input": "hi", "store": False}),
]


@pytest.mark.parametrize(("path", "body"), ASKED)
async def test_without_a_name_it_is_the_model_that_is_served(http, state, path, body):
    state.ready(dataclasses.replace(state.require_ready(), answers_to_any_name=True))
    response = await http.post(path, json=body)
    assert (response.status_code, response.json()["model"]) == (200, "tiny")


@pytest.mark.parametrize(("path", "body"), ASKED)
async def test_where_names_are_looked_at_one_must_be_sent(http, path, body):
    response = await http.post(path, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"
    assert response.json()["error"]["code"] == "missing_required_parameter"
