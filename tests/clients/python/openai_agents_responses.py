"""openai-agents, by its default: Responses."""

from __future__ import annotations

from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from encyclopedia import MODEL, QUESTION, TOOLS, URL, report
from openai import AsyncOpenAI

set_tracing_disabled(True)
model = OpenAIResponsesModel(model=MODEL, openai_client=AsyncOpenAI(base_url=URL, api_key="none", max_retries=0))
agent = Agent(
    name="encyclopedia",
    model=model,
    tools=[function_tool(tool) for tool in TOOLS],
    model_settings=ModelSettings(temperature=0),
)
report(Runner.run_sync(agent, QUESTION, max_turns=10).final_output)
