"""Requests in the shapes that Codex and Claude Code send, answered by every family: 500 of each, by a seed.

Every one is answered, its stream ends, and every warning is true: what it says was left out is in the request, at the
place that it names.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from conformance.dialects import each_event, fold_messages, fold_responses
from conformance.engine_without_model import served_model
from conformance.recorded import claude_code, codex
from starlette.testclient import TestClient

from chat_templates import FAMILIES, get_family
from server.api.app import create_app
from server.api.responses.stored.store import ResponseStore
from server.api.state import ServingState

pytestmark = pytest.mark.slow

# A base model, and one that was trained on single turns: they refuse an agent's conversation, and say so.
ALONE = {"minitron", "xlam-1-fc"}
ANSWERING = [family for family in FAMILIES if family not in ALONE]
N_EACH = 500
N_CTX = 1 << 18  # of bytes
N_REAL = 24
REAL_CHARS = 9000  # of a body that fits the context of the real server
STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def resolve(body: Any, path: str) -> Any:
    """What stands at a path of a body. Raises `LookupError`."""
    for name, index in STEP.findall(path):
        body = body[int(index)] if index else body[name]
    return body


def assert_true(warning: dict[str, str], body: dict[str, Any], family: str) -> None:
    """That the warning says something of this request that is so."""
    match warning:
        case {"type": "parameter_ignored", "param": param, "message": message}:
            assert resolve(body, param) is not None
            assert message.startswith(f"{param} is accepted")
        case {"type": "system_moved", "path": path, "message": message}:
            assert get_family(family).system_first
            assert resolve(body, path)["role"] in ("system", "developer")
            assert message.startswith(path)
        case {"type": "schema_degraded", "path": path, "tool": tool}:
            assert resolve(body, path) is not None
            assert tool in json.dumps(body["tools"])
        case {"type": "repeated_call" | "ungrounded_call" | "no_answer" | "arguments_invalid", "message": message}:
            assert message
        case {"type": "copied_argument", "tool": tool, "argument": argument}:
            assert f'"{tool}"' in json.dumps(body["tools"])
            assert f'"{argument}"' in json.dumps(body["tools"])
        case _:
            raise AssertionError(f"a warning that nobody knows: {warning}")


def answered(http: httpx.Client, path: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """The whole answer, folded if it is streamed. Raises `AssertionError` for any other status than 200."""
    response = http.post(path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    if not body["stream"]:
        return response.json()
    fold = fold_messages if path.startswith("/v1/messages") else fold_responses
    return fold(list(each_event(response.text.splitlines())))


def ask(http: httpx.Client, client: Any, seed: int, family: str, **more: Any) -> None:
    body = {**client.request(seed), **more}
    path = client.path(seed) if client is claude_code else "/v1/responses"
    told = answered(http, path, body, client.headers(seed))
    for warning in told.get("warnings", ()):
        assert_true(warning, body, family)


@pytest.fixture
def serving(tmp_path):
    """A client of an application over one family's engine."""

    def serve(family: str):
        state = ServingState()
        store = ResponseStore(tmp_path / f"{family}.db", max_bytes=1 << 20)
        return served_model(family, N_CTX), state, store, create_app(state, store=store)

    return serve


@pytest.mark.parametrize("client", [codex, claude_code], ids=["codex", "claude_code"])
@pytest.mark.parametrize("family", ANSWERING)
def test_every_family_answers_what_an_agent_sends(serving, measured, client, family):
    model, state, store, app = serving(family)
    seeds = range(ANSWERING.index(family), N_EACH, len(ANSWERING))
    with model as ready, TestClient(app) as http:
        state.ready(ready)
        with measured(f"{client.__name__.rpartition('.')[2]}, {family}, no model", http):
            for seed in seeds:
                ask(http, client, seed, family)
    store.close()


@pytest.mark.parametrize("client", [codex, claude_code], ids=["codex", "claude_code"])
def test_a_model_answers_what_an_agent_sends(real, measured, client):
    short = (seed for seed in range(N_EACH) if len(json.dumps(client.request(seed))) < REAL_CHARS)
    limit = "max_tokens" if client is claude_code else "max_output_tokens"
    with measured(f"{client.__name__.rpartition('.')[2]}, SmolLM2", real):
        for seed, _ in zip(short, range(N_REAL), strict=False):
            ask(real, client, seed, "generic", **{limit: 16})


def test_a_seed_makes_the_same_request_and_another_seed_another():
    for client in (codex, claude_code):
        made = [json.dumps(client.request(seed)) for seed in range(N_EACH)]
        assert made == [json.dumps(client.request(seed)) for seed in range(N_EACH)]
        assert len(set(made)) == N_EACH
