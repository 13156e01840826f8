"""Base models: a file without a chat template was never taught whose turn it is.

Named for NVIDIA's Minitron, whose base models are such files. The law: no framing is invented behind the user's back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NoReturn

from chat_templates.errors import TemplateRequestError
from chat_templates.family import Family
from chat_templates.generic.family import GENERIC
from chat_templates.guard import NO_MARKERS, Markers
from chat_templates.render import NO_KWARGS, ArgumentsAs, Message, Tool


@dataclass(frozen=True, slots=True)
class BaseFamily(Family):
    """The family of models that do not chat."""

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        *,
        markers: Markers = NO_MARKERS,
        add_generation_prompt: bool = True,
        today: date | None = None,
        template_kwargs: Mapping[str, Any] = NO_KWARGS,
    ) -> NoReturn:
        """Always raises `TemplateRequestError`, with what to do instead."""
        del messages, tools, markers, add_generation_prompt, today, template_kwargs
        raise TemplateRequestError(
            "This is a base model: its file has no chat template. Send a prompt to /v1/completions, or start the "
            "server with --family generic to chat with it anyway.",
            param="messages",
        )


MINITRON = BaseFamily(
    id="minitron",
    title="base models, Minitron for example",
    template="",
    output=GENERIC.output,
    arguments_as=ArgumentsAs.STRING,
    example_model="nvidia/Minitron-4B-Base (GGUF)",
    evidence="D",
)
