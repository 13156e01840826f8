"""Probabilities of a message's tokens: with the pieces, and whole in the item; of nothing else."""

from __future__ import annotations

import math

import pytest
from openai.types.responses import Response

from server.chat.request import ChatDelta, Logprobs, ToolCallDelta
from server.engine.types import Alternative, GenerationUsage, TokenChoice

USAGE = GenerationUsage(prompt=3, cached=0, completion=3, decode_steps=3, forced=0)
SPACE = TokenChoice(0, b"\n", math.log(0.9))
HE = TokenChoice(1, b"He", math.log(0.5), (Alternative(b"Ho", math.log(0.3)),))
LLO = TokenChoice(3, b"llo", math.log(0.25))
LATE = TokenChoice(6, b"", math.log(0.125))
END = TokenChoice(6, b"", -0.1, is_end=True)
SCRIPT = (
    ChatDelta(content="\n", tokens=(SPACE,)),
    ChatDelta(content="He", tokens=(HE,)),
    ChatDelta(content="llo", tokens=(LLO,)),
    ChatDelta(finish_reason="stop", usage=USAGE, tokens=(LATE, END)),
)
ASKED = [{"include": ["message.output_text.logprobs"]}, {"top_logprobs": 2}]


def tokens(logprobs):
    return [(each["token"], round(math.exp(each["logprob"]), 3)) for each in logprobs]


@pytest.mark.parametrize("asked", ASKED)
async def test_a_message_tells_its_tokens_and_their_pieces_add_up_to_them(chat, ask, stream, asked):
    chat.script = SCRIPT
    whole = (await ask(**asked)).json()
    Response.model_validate(whole, strict=True)
    (item,) = whole["output"]
    (part,) = item["content"]
    assert tokens(part["logprobs"]) == [("\n", 0.9), ("He", 0.5), ("llo", 0.25), ("", 0.125)]
    events = await stream(**asked)
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    (done,) = (event for event in events if event["type"] == "response.output_text.done")
    assert "".join(event["delta"] for event in deltas) == done["text"] == part["text"] == "\nHello"
    assert [each for event in deltas for each in event["logprobs"]] == done["logprobs"] == part["logprobs"]


async def test_as_many_others_are_told_as_were_asked_for(chat, ask):
    chat.script = SCRIPT
    body = (await ask(top_logprobs=2)).json()
    assert body["top_logprobs"] == 2
    assert chat.requests[-1].logprobs == Logprobs(2)
    told = body["output"][0]["content"][0]["logprobs"][1]
    assert tokens(told["top_logprobs"]) == [("He", 0.5), ("Ho", 0.3)]


async def test_nothing_is_told_to_a_client_that_did_not_ask(chat, ask):
    chat.script = SCRIPT
    body = (await ask()).json()
    assert chat.requests[-1].logprobs is None
    assert body["output"][0]["content"][0]["logprobs"] == []


async def test_tokens_of_a_call_are_no_messages(chat, ask):
    call = ToolCallDelta(0, "call_0", "f", "{}")
    chat.script = (
        ChatDelta(content="Hello", tokens=(HE, LLO)),
        ChatDelta(tool_call=call, tokens=(LATE,)),
        ChatDelta(finish_reason="tool_calls", usage=USAGE, tokens=(LATE,)),
    )
    body = (await ask(top_logprobs=1, tools=[{"type": "function", "name": "f"}])).json()
    said, called = body["output"]
    assert tokens(said["content"][0]["logprobs"]) == [("He", 0.5), ("llo", 0.25)]
    assert "logprobs" not in called
