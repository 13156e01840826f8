"""POST /v1/embeddings as the OpenAI SDK and plain HTTP see it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import openai as sdk
import pytest
from leaving_client import run_until_left

from server.chat.embedding import Embedded
from server.errors import ContextLengthError, OverloadedError

VECTORS = [np.array([0.6, -0.8], dtype=np.float32), np.array([1 / 3, 2 / 3], dtype=np.float32)]


class ScriptedEmbeddings:
    """Gives the same vectors in turn; keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.refusal = None
        self.was_cancelled = asyncio.Event()
        self.waits = False

    async def embed(self, texts):
        self.asked.append(list(texts))
        if self.refusal is not None:
            raise self.refusal
        if self.waits:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.was_cancelled.set()
                raise
        return Embedded([VECTORS[i % 2] for i in range(len(texts))], 7 * len(texts))


@pytest.fixture
def embeddings():
    return ScriptedEmbeddings()


@pytest.fixture
def state(state, embeddings):
    state.ready(replace(state.model, embeddings=embeddings))
    return state


@pytest.mark.parametrize("form", ["float", "base64"])
@pytest.mark.parametrize("given", ["one", ["one", "two"], [1, 2, 3], [[1, 2], [3]]])
async def test_the_sdk_gets_a_vector_for_each_text(openai, embeddings, given, form):
    answer = await openai.embeddings.create(model="tiny", input=given, encoding_format=form)
    texts = {"one": ["one"], "[1, 2, 3]": [(1, 2, 3)], "[[1, 2], [3]]": [(1, 2), (3,)]}.get(str(given), given)
    assert embeddings.asked == [texts]
    assert [item.index for item in answer.data] == [*range(len(texts))]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 7 * len(texts)
    if form == "float":
        assert answer.data[0].embedding == VECTORS[0].tolist()


async def test_both_encodings_are_the_same_numbers(openai):
    packed = await openai.embeddings.create(model="tiny", input=["a", "b"])  # the SDK asks for base64 by itself
    plain = await openai.embeddings.create(model="tiny", input=["a", "b"], encoding_format="float")
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": []}, "input", "invalid_value"),
        ({"input": [[1], "a"]}, "input", "invalid_type"),
        ({"input": ["a"] * 2049}, "input", "invalid_value"),
        ({"input": None}, "input", "invalid_type"),
        ({"dimensions": 8}, "dimensions", "unsupported_parameter"),
        ({"encoding_format": "hex"}, "encoding_format", "invalid_value"),
        ({"colour": 1}, "colour", "unknown_parameter"),
        ({"model": "gpt-5"}, "model", "model_not_found"),
    ],
)
async def test_what_cannot_be_embedded_is_refused_by_name(http, embeddings, fields, param, code):
    response = await http.post("/v1/embeddings", json={"model": "tiny", "input": "a", **fields})
    error = response.json()["error"]
    assert (error["param"], error["code"]) == (param, code)
    assert response.status_code in (400, 404)
    assert embeddings.asked == []


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (ContextLengthError(9, 8, param="input[0]", parts="the text"), 400),
        (OverloadedError("full", retry_after_s=1), 429),
    ],
)
async def test_the_services_refusals_reach_the_client(openai, embeddings, refusal, status):
    embeddings.refusal = refusal
    with pytest.raises(sdk.APIStatusError) as caught:
        await openai.embeddings.create(model="tiny", input="a")
    assert caught.value.status_code == status


async def test_a_model_without_embeddings_says_how_to_have_them(http, state):
    state.ready(replace(state.model, embeddings=None))
    response = await http.post("/v1/embeddings", json={"model": "tiny", "input": "a"})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "model")
    assert "--embeddings mean" in error["message"]


async def test_a_client_that_leaves_stops_the_rest(app, embeddings):
    embeddings.waits = True
    leave = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, leave.set)
    sent = await run_until_left(app, "/v1/embeddings", {"model": "tiny", "input": "a"}, leave)
    assert embeddings.was_cancelled.is_set()
    assert sent[0]["status"] == 499
