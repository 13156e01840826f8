"""Phi-4-mini as data: the tools as JSON within the system's turn, calls as one list between two tokens.

Sources: the chat template of Phi-4-mini-instruct, which takes the tools as a text beside the system's message, and
Microsoft's description of that text. The template prints an answer's text alone; calls are printed as the model writes
them. Without a system message there is the one of Microsoft's example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.call_list import CallList
from chat_templates.render import ArgumentsAs
from chat_templates.tools import to_json


def listed(tools: Sequence[Mapping[str, Any]]) -> str:
    """The tools' functions as a JSON list."""
    return f"[{', '.join(to_json(tool.get('function') or tool) for tool in tools)}]"


PHI_4_MINI = Family(
    id="phi-4-mini",
    title="Phi-4-mini",
    template=template_source(__package__),
    output=OutputFormat(
        call=CallList(start="<|tool_call|>", end="<|/tool_call|>"), stop=("<|end|>", "<|endoftext|>", "<|user|>")
    ),
    arguments_as=ArgumentsAs.OBJECT,
    system_first=True,
    markers=("<|tool|>", "<|/tool|>", "<|assistant|>"),
    eos_token="<|endoftext|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<|tool_call|>", "<|/tool_call|>"}),
    variables={"listed": listed},
    example_model="unsloth/Phi-4-mini-instruct-GGUF",
    evidence="SDI",
)
