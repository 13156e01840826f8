"""Text that an answer will probably repeat: it makes it faster, and `usage` tells how much of it came true."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted_chat import TEXT, USAGE

ASK = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    "content", ["Hello, world", [{"type": "text", "text": "Hello, "}, {"type": "text", "text": "world"}]]
)
async def test_a_prediction_reaches_the_service_and_its_counts_the_client(chat, openai, content):
    counts = replace(USAGE, expected=5, unexpected=2)
    chat.script = (*TEXT[:-1], replace(TEXT[-1], usage=counts))
    answer = await openai.chat.completions.create(**ASK, prediction={"type": "content", "content": content})
    assert chat.requests[0].prediction == "Hello, world"
    details = answer.usage.completion_tokens_details
    assert (details.accepted_prediction_tokens, details.rejected_prediction_tokens) == (5, 2)


@pytest.mark.parametrize(
    "prediction", ["Hello", {"type": "text", "content": "a"}, {"type": "content"}, {"type": "content", "content": [{}]}]
)
async def test_a_prediction_of_another_form_is_refused(ask, prediction):
    response = await ask(prediction=prediction)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("prediction")
