"""pydantic-ai's Agent."""

from __future__ import annotations

from encyclopedia import MODEL, QUESTION, TOOLS, URL, report
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=URL, api_key="none"))
agent = Agent(model, tools=list(TOOLS), model_settings={"temperature": 0})
report(agent.run_sync(QUESTION, usage_limits=UsageLimits(request_limit=10)).output)
