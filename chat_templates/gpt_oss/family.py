"""gpt-oss as data: tools as TypeScript, messages in channels, one call a turn.

Source: the chat template of gpt-oss-120b, as llama.cpp ships it. A thought is shown to the model again until an answer
in words followed; words beside a call are shown as thoughts, as that template shows them.
"""

from __future__ import annotations

from typing import Any

from chat_templates.family import Family, template_source
from chat_templates.formats import OutputFormat
from chat_templates.forms.channels import CHANNEL, END, MESSAGE, THOUGHT, ChannelCall
from chat_templates.gpt_oss.typescript import namespace
from chat_templates.llama3.family import one_call_a_turn
from chat_templates.render import ArgumentsAs


def with_names(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One call a turn, the thought with the first; each turn that calls knows whether words of the model follow."""
    turns = one_call_a_turn(messages)
    out: list[dict[str, Any]] = []
    are_words_to_come = False
    for turn in reversed(turns):
        calls = turn.get("tool_calls")
        if turn["role"] == "assistant" and not calls:
            are_words_to_come = True
        out.append({**turn, "is_answered": are_words_to_come} if calls else turn)
    return out[::-1]


_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}

GPT_OSS = Family(
    id="gpt-oss",
    title="gpt-oss",
    template=template_source(__package__),
    output=OutputFormat(
        call=ChannelCall(),
        reasoning=(f"{CHANNEL}{THOUGHT}{MESSAGE}", END),
        stop=("<|return|>", "<|call|>"),
    ),
    arguments_as=ArgumentsAs.OBJECT,
    prepare=with_names,
    system_first=True,
    needs_description=True,
    markers=("<|start|>", "<|channel|>", "<|message|>", "render_tool_namespace"),
    eos_token="<|return|>",  # noqa: S106  a token of the vocabulary
    special_tokens=frozenset(ChannelCall().markers),
    variables={"namespace_of": namespace},
    efforts={effort: {"reasoning_effort": told} for effort, told in _EFFORTS.items()},
    example_model="ggml-org/gpt-oss-20b-GGUF",
    evidence="S",
)
