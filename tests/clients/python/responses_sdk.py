"""The loop that everybody writes by hand with the SDK's Responses, streamed."""

from __future__ import annotations

import json
from typing import Any

import openai
from encyclopedia import MODEL, QUESTION, TOOLS, URL, report

ARGUMENTS = {"search_articles": "query", "read_article": "article_id"}
OFFERED: Any = [
    {
        "type": "function",
        "name": tool.__name__,
        "description": tool.__doc__,
        "parameters": {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]},
    }
    for tool in TOOLS
    for argument in [ARGUMENTS[tool.__name__]]
]

client = openai.OpenAI(base_url=URL, api_key="none", max_retries=0)
items: list[Any] = [{"role": "user", "content": QUESTION}]
for _ in range(10):
    with client.responses.stream(model=MODEL, input=items, tools=OFFERED, temperature=0, store=False) as stream:
        response = stream.get_final_response()
    items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in response.output]
    made = [item for item in response.output if item.type == "function_call"]
    if not made:
        break
    for call in made:
        by_name = {tool.__name__: tool for tool in TOOLS}
        result = by_name[call.name](**json.loads(call.arguments))
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
report(response.output_text)
