"""The served model as Codex describes models: how it is asked, and how much it holds.

Pure. Codex gives a model that it does not know a prompt of ten thousand tokens; of one that it knows it takes what is
said here. The fields are those that it demands; what is off is left to the model's own words or to the shell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.clients.instructions import INSTRUCTIONS

if TYPE_CHECKING:
    from server.api.state import ModelFacts


def codex_model(name: str, facts: ModelFacts) -> dict[str, Any]:
    """An entry of Codex's catalogue of models. A tool's output may fill an eighth of the context."""
    return {
        "slug": name,
        "display_name": name,
        "description": facts.description,
        "supported_reasoning_levels": [],
        "shell_type": "shell_command",
        "visibility": "list",
        "supported_in_api": True,
        "priority": 1,
        "availability_nux": None,
        "upgrade": None,
        "base_instructions": INSTRUCTIONS,
        "supports_reasoning_summaries": False,
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": None,
        "truncation_policy": {"mode": "tokens", "limit": max(facts.n_ctx // 8, 256)},
        "supports_parallel_tool_calls": True,
        "context_window": facts.n_ctx,
        "experimental_supported_tools": [],
        "input_modalities": ["text"],
    }
