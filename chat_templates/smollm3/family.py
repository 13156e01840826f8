"""SmolLM3 as data: tools as Python prints them, calls as JSON between tags, `/think` or `/no_think` in the system text.

Source: the chat template of SmolLM3-3B. It prints an answer's text alone and leaves calls to its caller; these are
printed as the template asks for them. Its other form, tools that are called in Python code, is left out. Without tools
its system turn has no end, and none is added here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import HERMES
from chat_templates.render import ArgumentsAs
from chat_templates.tools import to_json

_OVERRIDE = "/system_override"


def listed(tools: Sequence[Mapping[str, Any]]) -> str:
    """The tools' functions as Python prints them, each on a line."""
    return "".join(f"{json.loads(to_json(tool.get('function') or tool))}\n" for tool in tools)


def with_mode(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take the words that switch thinking, and the one that replaces the whole system text, out of that text."""
    if not messages or messages[0]["role"] != "system":
        return messages
    text = messages[0]["content"]
    mode = "/no_think" if "/no_think" in text else "/think" if "/think" in text else None
    bare = text.replace("/no_think", "").replace("/think", "").rstrip()
    override = _OVERRIDE in text
    system = {
        **messages[0],
        "content": bare.replace(_OVERRIDE, "").rstrip() if override else bare,
        "mode": mode,
        "override": override,
    }
    return [system, *messages[1:]]


SMOLLM3 = Family(
    id="smollm3",
    title="SmolLM3",
    template=template_source(__package__),
    output=HERMES,
    arguments_as=ArgumentsAs.OBJECT,
    prepare=with_mode,
    system_first=True,
    markers=("<|im_start|>", "named SmolLM", "xml_tools"),
    eos_token="<|im_end|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset({"<tool_call>", "</tool_call>", "<think>", "</think>"}),
    variables={"listed": listed},
    without_thinking={"enable_thinking": False},
    example_model="ggml-org/SmolLM3-3B-GGUF",
    evidence="SI",
)
