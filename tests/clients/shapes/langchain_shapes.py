"""langchain-openai: bind_tools by every choice, both ways to a structured output, embeddings refused by name."""

from __future__ import annotations

from typing import Any

from check import ASKED, MODEL, URL, report, tried
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class get_weather(BaseModel):  # noqa: N801  the class's name is the tool's
    """Tells the weather."""

    city: str


model = ChatOpenAI(model=MODEL, base_url=URL, api_key="none", temperature=0, max_retries=0)
by_responses = ChatOpenAI(
    model=MODEL, base_url=URL, api_key="none", temperature=0, max_retries=0, use_responses_api=True
)


def called(by: ChatOpenAI, choice: Any) -> bool:
    calls = by.bind_tools([get_weather], tool_choice=choice).invoke(ASKED).tool_calls
    return [call["args"] for call in calls] == [{"city": "Paris"}]


def streamed() -> bool:
    whole: Any = None
    for chunk in model.bind_tools([get_weather], tool_choice="any").stream(ASKED):
        whole = chunk if whole is None else whole + chunk
    return [call["args"] for call in whole.tool_calls] == [{"city": "Paris"}]


def structured(method: Any) -> bool:
    return model.with_structured_output(get_weather, method=method).invoke(ASKED) == get_weather(city="Paris")


for choice in ("auto", "any", "get_weather"):
    tried(f"bind_tools_{choice}", lambda choice=choice: called(model, choice))
    tried(f"responses_bind_tools_{choice}", lambda choice=choice: called(by_responses, choice))
tried("streamed", streamed)
for method in ("json_schema", "function_calling"):
    tried(f"structured_output_{method}", lambda method=method: structured(method))
report("langchain-openai", "langchain")
