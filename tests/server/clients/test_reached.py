"""A server asked what it is, over its own application."""

from __future__ import annotations

import httpx
import pytest
from fastapi.testclient import TestClient
from scripted_chat import FACTS, served

from server.api.app import create_app
from server.api.state import ServingState
from server.clients.reached import reach
from server.errors import StartupError


def client(*, is_loaded=True, keys=()):
    state = ServingState()
    if is_loaded:
        state.ready(served(names=("tiny", "tiny-file")))
    return TestClient(create_app(state, api_keys=keys))


def answering(text, status=200):
    return httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(status, text=text)))


@pytest.mark.parametrize(
    "url", ["http://testserver", "http://testserver/", "http://testserver/v1", "http://testserver/v1/"]
)
def test_the_model_and_its_context_are_asked_of_the_server(url):
    server = reach(client(), url, None)
    assert (server.url, server.model, server.n_ctx, server.has_key) == ("http://testserver", "tiny", FACTS.n_ctx, False)
    assert [entry["slug"] for entry in server.catalogue] == ["tiny"]


def test_a_key_is_shown():
    assert reach(client(keys=["right"]), "http://testserver", "right").has_key
    for key in (None, "wrong"):
        with pytest.raises(StartupError, match="wants a key"):
            reach(client(keys=["right"]), "http://testserver", key)


def test_a_server_that_is_loading_is_asked_again_later():
    with pytest.raises(StartupError, match="still loading"):
        reach(client(is_loaded=False), "http://testserver", None)


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"data": [{"id": "x"}], "models": []}', '{"data": 3}'])
def test_another_server_is_known(text):
    with pytest.raises(StartupError, match="no FunctionGate"):
        reach(answering(text), "http://other", None)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://[", ""])
def test_no_server_is_one_line_with_the_way_out(url):
    with httpx.Client(timeout=2) as http, pytest.raises(StartupError, match="functiongate serve"):
        reach(http, url, None)
