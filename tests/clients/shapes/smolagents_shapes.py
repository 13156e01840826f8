"""smolagents: an agent that calls tools until its final answer."""

from __future__ import annotations

from check import MODEL, URL, report, tried
from smolagents import OpenAIModel, ToolCallingAgent, tool


@tool
def add(first: int, second: int) -> int:
    """Adds two numbers.

    Args:
        first: The first number.
        second: The second number.
    """
    return first + second


def answered() -> bool:
    model = OpenAIModel(model_id=MODEL, api_base=URL, api_key="none", temperature=0)
    agent = ToolCallingAgent(tools=[add], model=model, max_steps=4, verbosity_level=0)
    return "42" in str(agent.run("What is 17 plus 25? Use the tool, then give the final answer."))


tried("tool_calling_agent", answered)
report("smolagents", "openai")
