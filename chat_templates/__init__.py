"""Model families: conversation → prompt, tools → grammar, generated text → events. Pure text, no tokens, no I/O.

Imports the standard library and jinja2 only. Adding a family is a folder and a line in `FAMILIES`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from chat_templates.errors import (
    ChatTemplateError,
    TemplateFileError,
    TemplateRequestError,
    UnknownFamilyError,
)
from chat_templates.events import (
    ContentDelta,
    Event,
    ParsedMessage,
    ReasoningDelta,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallRetracted,
    ToolCallStart,
    fold,
    merge,
)
from chat_templates.family import Family
from chat_templates.guard import NO_MARKERS, Markers, Prompt
from chat_templates.parser import OutputParser

__all__ = [
    "FAMILIES",
    "NO_MARKERS",
    "ChatTemplateError",
    "ContentDelta",
    "Event",
    "Family",
    "Markers",
    "OutputParser",
    "ParsedMessage",
    "Prompt",
    "ReasoningDelta",
    "TemplateFileError",
    "TemplateRequestError",
    "ToolCall",
    "ToolCallArguments",
    "ToolCallEnd",
    "ToolCallRetracted",
    "ToolCallStart",
    "UnknownFamilyError",
    "detect_family",
    "fold",
    "get_family",
    "merge",
    "parse_output",
]

log = logging.getLogger(__name__)

FAMILIES: Mapping[str, str] = {
    "functionary-v4r": "chat_templates.functionary_llama31.family:V4R",
    "functionary-v3.1": "chat_templates.functionary_llama31.family:V31",
    "functionary-v3.2": "chat_templates.functionary_v32.family:V32",
    "functionary-v2.5": "chat_templates.functionary_v25.family:V25",
    "functionary-v2": "chat_templates.functionary_v2.family:V2",
    "qwen2.5": "chat_templates.qwen25.family:QWEN25",
    "qwen3": "chat_templates.qwen3.family:QWEN3",
    "qwen3-coder": "chat_templates.qwen3_coder.family:QWEN3_CODER",
    "qwen3.5": "chat_templates.qwen35.family:QWEN35",
    "hermes-2-pro": "chat_templates.hermes.family:HERMES_2_PRO",
    "arch-function": "chat_templates.arch_function.family:ARCH_FUNCTION",
    "arch-agent": "chat_templates.qwen25.family:ARCH_AGENT",
    "llama-3.1": "chat_templates.llama3.family:LLAMA_31",
    "llama-3.2": "chat_templates.llama3.family:LLAMA_32",
    "xlam-2-qwen": "chat_templates.xlam2.family:XLAM_2_QWEN",
    "xlam-2-llama": "chat_templates.xlam2.family:XLAM_2_LLAMA",
    "xlam-1-fc": "chat_templates.xlam1.family:XLAM_1_FC",
    "arch-function-chat": "chat_templates.arch_function_chat.family:ARCH_FUNCTION_CHAT",
    "watt-tool": "chat_templates.watt_tool.family:WATT_TOOL",
    "mistral-nemo": "chat_templates.mistral_nemo.family:NEMO",
    "mistral-small-3.2": "chat_templates.mistral_small.family:SMALL32",
    "ministral-3": "chat_templates.ministral3.family:MINISTRAL_3",
    "lfm2": "chat_templates.lfm2.family:LFM2",
    "lfm2.5": "chat_templates.lfm2.family:LFM25",
    "lfm2.5-thinking": "chat_templates.lfm2.family:LFM25_THINKING",
    "granite-4.0": "chat_templates.granite4.family:GRANITE_40",
    "granite-4.1": "chat_templates.granite4.family:GRANITE_41",
    "gemma-4": "chat_templates.gemma4.family:GEMMA_4",
    "hammer-2.1": "chat_templates.hammer.family:HAMMER_21",
    "phi-4-mini": "chat_templates.phi4_mini.family:PHI_4_MINI",
    "smollm3": "chat_templates.smollm3.family:SMOLLM3",
    "gpt-oss": "chat_templates.gpt_oss.family:GPT_OSS",
    "functiongemma": "chat_templates.functiongemma.family:FUNCTIONGEMMA",
    "minicpm5": "chat_templates.minicpm5.family:MINICPM5",
    "generic": "chat_templates.generic.family:GENERIC",
    "generic-list": "chat_templates.generic.family:GENERIC_LIST",
    "generic-tagged": "chat_templates.generic.family:GENERIC_TAGGED",
    "generic-python": "chat_templates.generic.family:GENERIC_PYTHON",
    "minitron": "chat_templates.minitron.family:MINITRON",
}


def get_family(family_id: str) -> Family:
    """The family of this public id. Raises `UnknownFamilyError` listing the ids there are."""
    try:
        module, attribute = FAMILIES[family_id].split(":")
    except KeyError:
        raise UnknownFamilyError(f"There is no family {family_id!r}; known families: {', '.join(FAMILIES)}.") from None
    family: Family = getattr(import_module(module), attribute)
    return family


def detect_family(metadata: Mapping[str, str]) -> Family:
    """The one family whose markers stand in a GGUF's chat template, else `generic`, with a log line that says why.

    The name comes first: some models' templates are those of the model that they were trained from.
    A file without a chat template is a base model: `minitron`, which does not chat.
    `metadata` is the GGUF's, as text; the template is its `tokenizer.chat_template`.
    """
    if (named := _family_named_in(metadata)) is not None:
        return named
    template = metadata.get("tokenizer.chat_template")
    if template is None:
        log.info("the model has no chat template: it continues text only (family minitron; --family overrides)")
        return get_family("minitron")
    matching = [family for family in map(get_family, FAMILIES) if family.matches(template)]
    if len(matching) == 1:
        return matching[0]
    log.info(
        "the model's chat template has the tool format of %s: its tools are described in text "
        "(family generic; --family overrides)",
        " and ".join(family.id for family in matching) or "no known family",
    )
    return get_family("generic")


def _family_named_in(metadata: Mapping[str, str]) -> Family | None:
    """The family with the longest of its `names` in the model's name or base name."""
    names = (metadata.get("general.name", ""), metadata.get("general.basename", ""))
    text = " ".join(names).lower().replace("_", "-").replace(" ", "-")
    known = [(name, family) for family in map(get_family, FAMILIES) for name in family.names if name in text]
    return max(known, key=lambda pair: len(pair[0]))[1] if known else None


def parse_output(family_id: str, text: str, tools: Sequence[Mapping[str, Any]] | None = None) -> ParsedMessage:
    """A whole generated text read as one message. `tools` None means unknown: names are then not checked."""
    parser = get_family(family_id).parser(tools)
    return fold([*parser.feed(text), *parser.finish()])
