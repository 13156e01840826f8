"""What every piece of an answer repeats, and what it cost.

Pure: data in, JSON values out. Knows OpenAI's wire names.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.engine.types import GenerationUsage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.api.request.ignored import Ignored


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What every piece of one answer repeats, and what of its request was `ignored`, which its end tells.

    `created` is in seconds since 1970. `custom` are the names of custom tools.
    """

    model: str
    created: int
    fingerprint: str
    ignored: tuple[Ignored, ...] = ()
    custom: frozenset[str] = frozenset()
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")

    def fields(self, kind: str) -> dict[str, Any]:
        """The head's fields for an object of the kind."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def usage(counts: GenerationUsage) -> dict[str, Any]:
    """OpenAI's usage object and, under `functiongate`, what only this engine counts."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": counts.expected,
            "rejected_prediction_tokens": counts.unexpected,
        },
        "functiongate": {"decode_steps": counts.decode_steps, "forced_tokens": counts.forced},
    }


def total_usage(counts: Mapping[int, GenerationUsage], n: int) -> GenerationUsage:
    """The counts of all answers together; a prompt that was answered `n` times counts once, as at OpenAI."""
    prompts = [count for i, count in counts.items() if i % n == 0]
    return GenerationUsage(
        prompt=sum(count.prompt for count in prompts),
        cached=sum(count.cached for count in prompts),
        completion=sum(count.completion for count in counts.values()),
        forced=sum(count.forced for count in counts.values()),
        decode_steps=sum(count.decode_steps for count in counts.values()),
        expected=sum(count.expected for count in counts.values()),
        unexpected=sum(count.unexpected for count in counts.values()),
    )
