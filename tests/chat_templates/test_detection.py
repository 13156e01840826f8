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
    assert family.evidence or family_id == "generic"
