"""What a request says without effect: accepted, left out, and named in the answer's `warnings`.

Knows paths in a body and what belongs to whose dialect; nothing of what is honoured. The law: leaving out what is
listed here changes no answer that this server could give. What would change one is honoured, or refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from server.errors import RequestError


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


LLAMA_SERVER = "a sampler or an option of llama-server"
VLLM = "an option of vLLM"
OLLAMA = "an option of Ollama"
OPENROUTER = "an option of OpenRouter"
OPENAI = "has no counterpart here"

BODY: Mapping[str, str] = MappingProxyType(
    {
        name: whose
        for whose, names in {
            LLAMA_SERVER: (
                "cache_prompt dry_allowed_length dry_base dry_multiplier dry_penalty_last_n dry_sequence_breakers "
                "dynatemp_exponent dynatemp_range id_slot min_keep mirostat mirostat_eta mirostat_tau n_keep n_probs "
                "parse_tool_calls penalize_nl post_sampling_probs reasoning_format repeat_last_n return_progress "
                "return_tokens samplers slot_id t_max_predict_ms tfs_z thinking_forced_open timings_per_token "
                "top_n_sigma typ_p typical_p xtc_probability xtc_threshold"
            ),
            VLLM: (
                "add_generation_prompt add_special_tokens cache_salt include_stop_str_in_output kv_transfer_params "
                "length_penalty mm_processor_kwargs priority prompt_logprobs request_id return_token_ids "
                "return_tokens_as_token_ids skip_special_tokens spaces_between_special_tokens truncate_prompt_tokens "
                "use_beam_search vllm_xargs"
            ),
            OLLAMA: "keep_alive options",
            OPENROUTER: (
                "include_reasoning models plugins provider route session_id top_a trace transforms usage usage_include"
            ),
            OPENAI: (
                "extra_body extra_headers prompt_cache_options prompt_cache_retention reasoning_split "
                "verbosity web_search_options"
            ),
        }.items()
        for name in names.split()
    }
)
"""Fields of a chat completion's body by whose they are. Null is not even named."""

MESSAGE = _names(
    "cache_control created_at experimental_providerMetadata extra_content finish_reason id index "
    "internal_chat_message_metadata_passthrough metadata model phase provider_metadata provider_options "
    "provider_specific_fields providerOptions reasoning_details reasoning_signature signature status stop_reason "
    "thinking_blocks thinking_signature timestamp type usage"
)
"""Fields that clients store with a message and send back with it."""

PART = _names(
    "_meta annotations cache_control citations experimental_providerMetadata id logprobs meta "
    "provider_metadata provider_options providerOptions status"
)
"""Fields of a content part."""

CALL = _names(
    "cache_control call_id caller extra_content internal_chat_message_metadata_passthrough provider_specific_fields "
    "signature status thought_signature"
)
"""Fields of a past call."""

TOOL = _names(
    "_meta allowed_callers annotations cache_control defer_loading deprecated eager_input_streaming examples "
    "input_examples metadata output_schema outputSchema response responses returns strict title"
)
"""Fields of a tool and of its function."""

HOSTED_TOOL = re.compile(
    r"(apply_patch|bash|browser|code_execution|computer|computer_use|file_search|google_search|image_generation"
    r"|local_shell|mcp|memory|shell|text_editor|tool_search|url_context|web_fetch|web_search|x_search)([_.-].*)?"
    r"|openrouter:.*"
)
"""Types of tools that a cloud runs."""

_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Ignored:
    """One thing that was left out: where it stood, why, and in how many places of that kind."""

    param: str
    reason: str
    count: int

    def fields(self) -> dict[str, str]:
        """The warning as a JSON object."""
        more = f" So are {self.count - 1} more of its kind." if self.count > 1 else ""
        message = f"{self.param} is accepted and has no effect: {self.reason}.{more}"
        return {"type": "parameter_ignored", "param": self.param, "message": message}


class IgnoredParameters:
    """Collects what is left out of one request; places that differ in their indices alone are one.

    With `refuses_hosted` tools that a cloud runs are not left out but refused.
    """

    def __init__(self, *, refuses_hosted: bool = False) -> None:
        self._refuses_hosted = refuses_hosted
        self._found: dict[str, Ignored] = {}

    def add(self, param: str, reason: str) -> None:
        """Something at `param` is left out."""
        kind = _INDEX.sub("[]", param)
        known = self._found.get(kind)
        self._found[kind] = (
            Ignored(param, reason, 1) if known is None else Ignored(known.param, reason, known.count + 1)
        )

    def hosted_tool(self, param: str, kind: str) -> None:
        """A tool at `param` that a cloud runs is left out. Raises `RequestError` if such are refused."""
        reason = f"tools of the type {kind!r} are run by a cloud; offer a function to do it yourself"
        if self._refuses_hosted:
            raise RequestError(
                f"Invalid {param}: {reason}. Without --strict-tools it would be left out.",
                param=param,
                code="unsupported_tool",
            )
        self.add(param, reason)

    def without(self, holder: Mapping[str, Any], at: str, names: Mapping[str, str] | frozenset[str]) -> dict[str, Any]:
        """A copy of `holder` without these of its members; each that has a value is added."""
        kept = {}
        for name, value in holder.items():
            if name not in names:
                kept[name] = value
            elif value is not None:
                reason = names[name] if isinstance(names, Mapping) else "it says nothing to the model"
                self.add(f"{at}.{name}" if at else name, reason)
        return kept

    @property
    def warnings(self) -> tuple[Ignored, ...]:
        """What was left out, in the order in which it was found."""
        return tuple(self._found.values())
