"""What every state of one response repeats of its request, and the shape of the response itself.

Pure: data in, JSON values out. Knows OpenAI's wire names. Ids of items are made of the response's and the item's place,
so that an item is found by its id.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.api.request.ignored import Ignored
    from server.api.responses.places import Places
    from server.api.responses.schemas import ResponsesRequest
    from server.api.responses.tools import Tools
    from server.engine.types import GenerationUsage

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}
_ITEM_ID = re.compile(r"[a-z]+_([0-9a-f]{32})(i?)(\d{1,6})")


def new_id(prefix: str) -> str:
    """A new name for something that may be stored."""
    return f"{prefix}_{uuid.uuid4().hex}"


def item_id(kind: str, owner_id: str, i: int, *, is_input: bool = False) -> str:
    """The id of the i-th item of a response's output, or of its input."""
    return f"{_PREFIXES.get(kind, 'item')}_{owner_id.rpartition('_')[2]}{'i' if is_input else ''}{i}"


def place_of(item: str) -> tuple[str, bool, int] | None:
    """The hexadecimal part of a response's id, whether the item is one of its input, and its index; None if neither."""
    found = _ITEM_ID.fullmatch(item)
    return None if found is None else (found[1], bool(found[2]), int(found[3]))


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """One response's request, and what is told beside its answer. `created` is in seconds since 1970."""

    wanted: ResponsesRequest
    tools: Tools
    places: Places
    created: int
    fingerprint: str
    is_stored: bool
    ignored: tuple[Ignored, ...] = ()
    id: str = field(default_factory=lambda: new_id("resp"))

    def response(self, status: str, output: Sequence[dict[str, Any]] = (), **told: Any) -> dict[str, Any]:
        """The response in a state; `told` are fields that the state changes."""
        wanted = self.wanted
        form = wanted.text.format if wanted.text else None
        conversation = wanted.conversation_id
        fields: dict[str, Any] = {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": wanted.instructions,
            "max_output_tokens": wanted.max_output_tokens,
            "max_tool_calls": None,
            "model": wanted.model,
            "output": list(output),
            "parallel_tool_calls": wanted.parallel_tool_calls is not False,
            "previous_response_id": wanted.previous_response_id,
            "prompt_cache_key": wanted.prompt_cache_key,
            "reasoning": {"effort": None, "summary": None, **(wanted.reasoning.said if wanted.reasoning else {})},
            "safety_identifier": wanted.safety_identifier,
            "service_tier": "default",
            "store": self.is_stored,
            "temperature": _or(wanted.temperature, 1.0),
            "text": {
                "format": form.model_dump(by_alias=True, exclude_none=True) if form else {"type": "text"},
                "verbosity": (wanted.text.verbosity if wanted.text else None) or "medium",
            },
            "tool_choice": _or(wanted.tool_choice, "auto"),
            "tools": list(self.tools.echoed),
            "top_logprobs": wanted.top_logprobs or 0,
            "top_p": _or(wanted.top_p, 1.0),
            "presence_penalty": _or(wanted.presence_penalty, 0.0),
            "frequency_penalty": _or(wanted.frequency_penalty, 0.0),
            "truncation": "disabled",
            "usage": None,
            "user": wanted.user,
            "metadata": wanted.metadata or {},
            "system_fingerprint": self.fingerprint,
        }
        if conversation is not None:
            fields["conversation"] = {"id": conversation}
        return {**fields, **told}


def usage(counts: GenerationUsage) -> dict[str, Any]:
    """OpenAI's usage of a response and, under `functiongate`, what only this engine counts."""
    return {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": 0},
        "output_tokens": counts.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counts.prompt + counts.completion,
        "functiongate": {"decode_steps": counts.decode_steps, "forced_tokens": counts.forced},
    }


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
