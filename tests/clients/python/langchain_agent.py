"""LangChain's create_agent."""

from __future__ import annotations

from encyclopedia import MODEL, QUESTION, TOOLS, URL, report
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model=MODEL, base_url=URL, api_key="none", temperature=0, max_retries=0)
agent = create_agent(model, list(TOOLS))
state = agent.invoke({"messages": [{"role": "user", "content": QUESTION}]}, {"recursion_limit": 20})
report(state["messages"][-1].text)
