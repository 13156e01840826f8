"""The loop that everybody writes by hand with the SDK, streamed."""

from __future__ import annotations

import json
from typing import Any

import openai
from encyclopedia import MODEL, QUESTION, TOOLS, URL, report


def parameters(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


ARGUMENTS = {"search_articles": "query", "read_article": "article_id"}
OFFERED: Any = [
    {
        "type": "function",
        "function": {
            "name": tool.__name__,
            "description": tool.__doc__,
            "parameters": parameters(ARGUMENTS[tool.__name__]),
        },
    }
    for tool in TOOLS
]

client = openai.OpenAI(base_url=URL, api_key="none", max_retries=0)
messages: list[Any] = [{"role": "user", "content": QUESTION}]
for _ in range(10):
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=OFFERED, temperature=0) as stream:
        message = stream.get_final_completion().choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        by_name = {tool.__name__: tool for tool in TOOLS}
        result = by_name[call.function.name](**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
report(messages[-1].get("content", ""))
