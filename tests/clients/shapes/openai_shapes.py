"""openai: whole, streamed, parsed, several answers, tokens, custom tools, Responses with their state."""

from __future__ import annotations

import json
from typing import Any

import openai
from check import ASKED, MODEL, URL, report, tried
from pydantic import BaseModel

client = openai.OpenAI(base_url=URL, api_key="none", max_retries=0)
MESSAGES: Any = [{"role": "user", "content": ASKED}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION: Any = {"name": "get_weather", "description": "Tells the weather.", "parameters": PARAMETERS, "strict": True}
TOOL: Any = {"type": "function", "function": FUNCTION}
FLAT: Any = {"type": "function", **FUNCTION}
COLOUR: Any = {"syntax": "regex", "definition": "red|green|blue"}


class City(BaseModel):
    """A city."""

    name: str


class GetWeather(BaseModel):
    """Tells the weather."""

    city: str


def chat_call() -> bool:
    answer = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, tools=[TOOL], tool_choice="required", temperature=0
    )
    return json.loads(answer.choices[0].message.tool_calls[0].function.arguments) == {"city": "Paris"}


def chat_stream() -> bool:
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES, tools=[TOOL], temperature=0) as stream:
        message = stream.get_final_completion().choices[0].message
    return message.tool_calls[0].function.parsed_arguments == {"city": "Paris"}


def chat_parse() -> bool:
    answer = client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=City, temperature=0)
    return isinstance(answer.choices[0].message.parsed, City)


def chat_parse_tools() -> bool:
    tools = [openai.pydantic_function_tool(GetWeather)]
    answer = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, tools=tools, tool_choice="required", temperature=0
    )
    return answer.choices[0].message.tool_calls[0].function.parsed_arguments == GetWeather(city="Paris")


def chat_n_logprobs() -> bool:
    answer = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, n=2, max_tokens=4, logprobs=True, top_logprobs=2
    )
    return all(len(choice.logprobs.content[0].top_logprobs) == 2 for choice in answer.choices)


def chat_custom() -> bool:
    custom: Any = {"name": "paint", "format": {"type": "grammar", "grammar": COLOUR}}
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Paint it green."}],
        tools=[{"type": "custom", "custom": custom}],
        tool_choice={"type": "custom", "custom": {"name": "paint"}},
        temperature=0,
    )
    return answer.choices[0].message.tool_calls[0].custom.input in {"red", "green", "blue"}


def responses_call() -> bool:
    response = client.responses.create(
        model=MODEL, input=ASKED, tools=[FLAT], tool_choice="required", temperature=0, store=False
    )
    return json.loads(response.output[0].arguments) == {"city": "Paris"}


def responses_stream() -> bool:
    with client.responses.stream(
        model=MODEL, input=ASKED, tools=[FLAT], tool_choice="required", temperature=0, store=False
    ) as stream:
        response = stream.get_final_response()
    return response.output[0].parsed_arguments == {"city": "Paris"}


def responses_parse() -> bool:
    response = client.responses.parse(model=MODEL, input=ASKED, text_format=City, temperature=0, store=False)
    return isinstance(response.output_parsed, City)


def responses_custom() -> bool:
    response = client.responses.create(
        model=MODEL,
        input="Paint it green.",
        tools=[{"type": "custom", "name": "paint", "format": {"type": "grammar", **COLOUR}}],
        tool_choice="required",
        temperature=0,
        store=False,
    )
    return response.output[0].input in {"red", "green", "blue"}


def responses_logprobs() -> bool:
    response = client.responses.create(
        model=MODEL,
        input="Say hello.",
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        temperature=0,
        max_output_tokens=8,
        store=False,
    )
    (part,) = response.output[0].content
    return len(part.logprobs) > 1 and part.text.startswith(part.logprobs[0].token)


def responses_previous() -> bool:
    first = client.responses.create(model=MODEL, input="My name is Ada.", temperature=0, max_output_tokens=20)
    second = client.responses.create(
        model=MODEL, input="What is my name?", previous_response_id=first.id, temperature=0, max_output_tokens=20
    )
    kept = client.responses.retrieve(first.id)
    client.responses.delete(first.id)
    return "Ada" in second.output_text and kept.output_text == first.output_text


for attempt in (
    *(chat_call, chat_stream, chat_parse, chat_parse_tools, chat_n_logprobs, chat_custom),
    *(responses_call, responses_stream, responses_parse, responses_custom, responses_logprobs, responses_previous),
):
    tried(attempt.__name__, attempt)
tried("models", lambda: len(client.models.list().data) == 1)
report("openai")
