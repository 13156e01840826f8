"""Which family a file's own chat template chooses."""

from __future__ import annotations

import pytest

from chat_templates import FAMILIES, TemplateRequestError, detect_family, get_family


def test_a_file_without_a_chat_template_is_a_base_model():
    family = detect_family({"general.name": "base"})
    assert family.id == "minitron"
    with pytest.raises(TemplateRequestError, match="/v1/completions") as caught:
        family.render([{"role": "user", "content": "hi"}])
    assert caught.value.param == "messages"


def test_an_unknown_template_is_generic():
    assert detect_family({"tokenizer.chat_template": "{{ messages }}"}).id == "generic"


@pytest.mark.parametrize("family_id", FAMILIES)
def test_every_family_grades_its_sources(family_id):
    family = get_family(family_id)
    assert set(family.evidence) <= set("STDI")
    assert family.evidence or family_id.startswith("generic")


@pytest.mark.parametrize("family_id", FAMILIES)
def test_what_a_vocabulary_holds_as_tokens_is_looked_for(family_id):
    """A server asks a vocabulary for the format's markers, and marks in its grammars what it finds."""
    family = get_family(family_id)
    assert family.special_tokens <= set(family.output.markers)


QWEN = "<tool_call> <tool_response> You are Qwen, created by Alibaba Cloud"


@pytest.mark.parametrize(
    ("metadata", "family_id"),
    [
        ({"general.name": "Arch-Function-3B", "tokenizer.chat_template": QWEN}, "arch-function"),
        ({"general.name": "Arch Function Chat 3B", "tokenizer.chat_template": QWEN}, "arch-function-chat"),
        ({"general.basename": "arch_function-chat"}, "arch-function-chat"),
        ({"general.name": "watt-tool-8B", "tokenizer.chat_template": "<|start_header_id|>"}, "watt-tool"),
        ({"general.name": "xLAM-7b-fc-r", "tokenizer.chat_template": "### Instruction:"}, "xlam-1-fc"),
        ({"general.name": "Qwen2.5 7B Instruct", "tokenizer.chat_template": QWEN}, "qwen2.5"),
        (
            {"tokenizer.chat_template": "<|im_start|> You are developed by Salesforce xLAM team."},
            "xlam-2-qwen",
        ),
        (
            {"tokenizer.chat_template": "<|start_header_id|> You are developed by Salesforce xLAM team."},
            "xlam-2-llama",
        ),
    ],
)
def test_a_family_is_known_by_its_template_or_where_no_template_tells_by_the_name(metadata, family_id):
    assert detect_family(metadata).id == family_id
