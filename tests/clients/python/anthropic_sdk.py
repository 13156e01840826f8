"""The loop that everybody writes by hand with Anthropic's SDK, streamed."""

from __future__ import annotations

from typing import Any

import anthropic
from encyclopedia import MODEL, QUESTION, TOOLS, URL, report

ARGUMENTS = {"search_articles": "query", "read_article": "article_id"}
OFFERED: Any = [
    {
        "name": tool.__name__,
        "description": tool.__doc__,
        "input_schema": {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]},
    }
    for tool in TOOLS
    for argument in [ARGUMENTS[tool.__name__]]
]

client = anthropic.Anthropic(base_url=URL.removesuffix("/v1"), api_key="none", max_retries=0)
messages: list[Any] = [{"role": "user", "content": QUESTION}]
for _ in range(10):
    # The SDK takes no temperature any more; the server does.
    with client.messages.stream(
        model=MODEL, max_tokens=300, messages=messages, tools=OFFERED, extra_body={"temperature": 0}
    ) as stream:
        message = stream.get_final_message()
    messages.append({"role": "assistant", "content": [block.model_dump() for block in message.content]})
    if message.stop_reason != "tool_use":
        break
    results: list[Any] = []
    for block in message.content:
        if block.type == "tool_use":
            by_name = {tool.__name__: tool for tool in TOOLS}
            result = by_name[block.name](**block.input)
            results.append({"type": "tool_result", "tool_use_id": block.id, "content": result})
    messages.append({"role": "user", "content": results})
report("".join(block.text for block in message.content if block.type == "text"))
