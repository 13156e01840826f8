"""llm's chain of tools."""

from __future__ import annotations

from encyclopedia import MODEL, QUESTION, TOOLS, URL, report
from llm.default_plugins.openai_models import Chat

model = Chat(MODEL, key="none", api_base=URL, supports_tools=True)
chain = model.conversation(tools=list(TOOLS), chain_limit=10).chain(QUESTION, options={"temperature": 0})
report(chain.text())
