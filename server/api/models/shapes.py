"""The served model in the shapes of those whose clients ask for it.

Pure: a model in, JSON values out. Knows what OpenAI, llama-server, Ollama and Anthropic call a model's properties.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from server.api.models.codex import codex_model

if TYPE_CHECKING:
    from server.api.state import ServedModel


def openai_model(model: ServedModel, created: int) -> dict[str, Any]:
    """OpenAI's model; `meta` is llama-server's, `max_model_len` vLLM's, `context_length` OpenRouter's and LM Studio's.

    There is no `status`: clients take a server that tells one for a router of many models.
    """
    facts = model.facts
    return {
        "id": model.names[0],
        "object": "model",
        "created": created,
        "owned_by": "functiongate",
        "aliases": list(model.names[1:]),
        "max_model_len": facts.n_ctx,
        "context_length": facts.n_ctx,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "meta": {
            "n_ctx": facts.n_ctx,
            "n_ctx_train": facts.n_ctx_train,
            "n_vocab": model.n_vocab,
            "n_embd": facts.n_embd,
            "n_params": facts.n_params,
            "size": facts.size_bytes,
        },
    }


def listed_model(model: ServedModel, created: int) -> dict[str, Any]:
    """An entry of `models`, where llama-server has Ollama's fields and Codex looks for its own: both."""
    return {**codex_model(model.names[0], model.facts), **ollama_model(model, created)}


def ollama_model(model: ServedModel, created: int) -> dict[str, Any]:
    """An entry of Ollama's /api/tags."""
    facts, name = model.facts, model.names[0]
    return {
        "name": name,
        "model": name,
        "modified_at": _time(created),
        "size": facts.size_bytes,
        "digest": model.fingerprint,
        "capabilities": ["completion", "tools", *(["thinking"] if facts.can_think else [])],
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": facts.family,
            "families": [facts.family],
            "parameter_size": f"{facts.n_params / 1e9:.1f}B",
            "quantization_level": " ".join(facts.description.split()[2:]),
            "context_length": facts.n_ctx,
        },
    }


def anthropic_model(model: ServedModel, name: str, created: int) -> dict[str, Any]:
    """Anthropic's model."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": _time(created),
        "lifecycle": "active",
        "max_input_tokens": model.facts.n_ctx,
        "max_tokens": model.facts.n_ctx,
    }


def props(model: ServedModel, version: str) -> dict[str, Any]:
    """llama-server's properties. Every family takes tools, several calls at once and a system message."""
    facts = model.facts
    return {
        "default_generation_settings": {"n_ctx": facts.n_ctx, "params": {}},
        "total_slots": facts.n_parallel,
        "model_alias": model.names[0],
        "model_path": model.names[-1],
        "modalities": {"vision": False, "audio": False},
        "chat_template": facts.template,
        "chat_template_caps": {
            "supports_tools": True,
            "supports_tool_calls": True,
            "supports_parallel_tool_calls": True,
            "supports_system_role": True,
            "supports_string_content": True,
            "supports_typed_content": True,
        },
        "bos_token": facts.bos,
        "eos_token": facts.eos,
        "build_info": f"functiongate-{version}",
        "is_sleeping": False,
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
