"""anthropic: whole, streamed, every tool_choice, counting, a prefix that is reused."""

from __future__ import annotations

from typing import Any

import anthropic
from check import ASKED, MODEL, URL, report, tried

client = anthropic.Anthropic(base_url=URL.removesuffix("/v1"), api_key="none", max_retries=0)
MESSAGES: Any = [{"role": "user", "content": ASKED}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"name": "get_weather", "description": "Tells the weather.", "input_schema": SCHEMA}
GREEDY = {"temperature": 0}


def called(choice: Any) -> bool:
    message = client.messages.create(
        model=MODEL, max_tokens=100, messages=MESSAGES, tools=[TOOL], tool_choice=choice, extra_body=GREEDY
    )
    return message.stop_reason == "tool_use" and message.content[-1].input == {"city": "Paris"}


def streamed() -> bool:
    with client.messages.stream(
        model=MODEL, max_tokens=100, messages=MESSAGES, tools=[TOOL], tool_choice={"type": "any"}, extra_body=GREEDY
    ) as stream:
        message = stream.get_final_message()
    return message.content[-1].input == {"city": "Paris"}


def in_words() -> bool:
    message = client.messages.create(
        model=MODEL, max_tokens=20, messages=MESSAGES, tools=[TOOL], tool_choice={"type": "none"}, extra_body=GREEDY
    )
    return all(block.type == "text" for block in message.content)


def counted() -> bool:
    counted = client.messages.count_tokens(model=MODEL, messages=MESSAGES, tools=[TOOL]).input_tokens
    usage = client.messages.create(model=MODEL, max_tokens=1, messages=MESSAGES, tools=[TOOL]).usage
    return counted == usage.input_tokens + usage.cache_read_input_tokens


def prefix_is_reused() -> bool:
    def ask(billing: str) -> int:
        system: Any = [
            {"type": "text", "text": f"x-anthropic-billing-header: cch={billing};"},
            {"type": "text", "text": "You are a careful assistant. " * 20, "cache_control": {"type": "ephemeral"}},
        ]
        message = client.messages.create(model=MODEL, max_tokens=1, system=system, messages=MESSAGES, tools=[TOOL])
        return message.usage.cache_read_input_tokens or 0

    ask("a1")
    return ask("b2") > 100


tried("tool_choice_auto", lambda: called({"type": "auto"}))
tried("tool_choice_any", lambda: called({"type": "any"}))
tried("tool_choice_tool", lambda: called({"type": "tool", "name": "get_weather"}))
for attempt in (streamed, in_words, counted, prefix_is_reused):
    tried(attempt.__name__, attempt)
tried("models", lambda: len(client.models.list().data) == 1)
report("anthropic")
