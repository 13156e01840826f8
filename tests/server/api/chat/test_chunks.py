"""What narrow readers of streams rely on: one call's delta a chunk, and nothing in the chunk that ends an answer.

Home Assistant reads `tool_calls[0]` of each chunk, and no delta of the one with a finish reason.
"""

from __future__ import annotations

import pytest
from scripted_chat import CALLS, TEXT, USAGE

from server.chat.request import ChatDelta, ToolCallDelta

THOUGHT = (ChatDelta(reasoning="hm"),)
END = (ChatDelta(finish_reason="tool_calls", usage=USAGE),)
NOTHING = (ChatDelta(finish_reason="stop", usage=USAGE),)
WHITE = (ChatDelta(content=" \n"), ChatDelta(finish_reason="length", usage=USAGE))
AT_ONCE = tuple(ChatDelta(tool_call=ToolCallDelta(i, f"call_{i}", "get_weather", "{}")) for i in range(3))
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
CUSTOM = [{"type": "custom", "custom": {"name": "get_weather"}}]


@pytest.mark.parametrize(
    "script", [TEXT, CALLS, TEXT[:2] + CALLS, THOUGHT + TEXT, THOUGHT + NOTHING, NOTHING, WHITE, (*AT_ONCE, *END)]
)
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("tools", [TOOLS, CUSTOM], ids=["functions", "custom"])
async def test_a_reader_of_one_call_a_chunk_that_skips_the_last_loses_nothing(chat, openai, script, n, tools):
    chat.script = script
    arguments = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "tools": tools, "n": n}
    whole = await openai.chat.completions.create(**arguments)
    stream = await openai.chat.completions.create(**arguments, stream=True)
    read = [{"content": None, "calls": {}, "role": 0, "ended": 0} for _ in range(n)]
    async for chunk in stream:
        for choice in chunk.choices:
            of = read[choice.index]
            delta = choice.delta
            if choice.finish_reason is not None:
                assert delta.model_dump(exclude_unset=True) == {}
                of["ended"] += 1
                continue
            assert len(delta.tool_calls or []) <= 1
            of["role"] += delta.role == "assistant"
            if delta.content is not None:
                of["content"] = (of["content"] or "") + delta.content
            for call in delta.tool_calls or []:
                of["calls"].setdefault(call.index, []).append(call)
    for choice, of in zip(whole.choices, read, strict=True):
        assert (of["content"], of["role"], of["ended"]) == (choice.message.content, 1, 1)
        assert [calls[0].id for calls in of["calls"].values()] == [call.id for call in choice.message.tool_calls or []]
