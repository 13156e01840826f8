"""Text to tokens and back. The scripted model's tokens are bytes."""

from __future__ import annotations

import pytest
from byte_vocabulary import ByteVocabulary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_chat import served

from server.chat.tokens import TextTokens


async def tokens(http, **fields):
    response = await http.post("/tokenize", json=fields)
    assert response.status_code == 200, response.text
    return response.json()["tokens"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(max_size=20))
async def test_what_is_tokenized_comes_back(http, text):
    ids = await tokens(http, content=text, parse_special=False)
    assert ids == list(text.encode())
    assert (await http.post("/detokenize", json={"tokens": ids})).json() == {"content": text}


async def test_pieces_are_text_or_the_bytes_of_what_is_none(http):
    pieces = await tokens(http, content="aé", with_pieces=True)
    assert pieces == [{"id": 97, "piece": "a"}, {"id": 195, "piece": [195]}, {"id": 169, "piece": [169]}]


async def test_texts_and_ids_may_be_mixed(http):
    assert await tokens(http, content=["a", 98, "c"]) == [97, 98, 99]
    assert await tokens(http, content="") == []


async def test_markers_are_tokens_where_they_are_wanted(http):
    marker = next(iter(ByteVocabulary().special))
    assert len(await tokens(http, content=marker)) == 1
    assert await tokens(http, content=marker, parse_special=False) == list(marker.encode())


async def test_the_token_that_begins_a_text_is_there_where_it_is_wanted_and_once(http, state):
    class Beginning(ByteVocabulary):
        bos = next(iter(ByteVocabulary().special))

    state.ready(served(tokens=TextTokens(Beginning())))
    [bos] = await tokens(http, content=Beginning.bos)
    assert await tokens(http, content=["a", "b"], add_special=True) == [bos, 97, 98]
    assert await tokens(http, content="a") == [97]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/detokenize", {"tokens": [97, 10**9]}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {}, "tokens"),
        ("/tokenize", {"content": ["a", 10**9]}, "content[1]"),
        ("/tokenize", {"content": 3}, "content"),
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": "a", "contents": "b"}, "contents"),
        ("/tokenize", {"content": "a", "model": "other"}, "model"),
    ],
)
async def test_a_refusal_names_the_place(http, path, fields, param):
    response = await http.post(path, json=fields)
    assert response.status_code in (400, 404)
    assert response.json()["error"]["param"] == param


async def test_the_prompt_of_a_chat_is_shown_and_nothing_is_generated(http, chat):
    messages = [{"role": "system", "content": "Be kind. "}, {"role": "user", "content": "hi"}]
    response = await http.post("/apply-template", json={"messages": messages})
    assert response.json() == {"prompt": "Be kind. hi"}
    assert chat.streams == []
    refused = await http.post("/apply-template", json={"messages": []})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")
