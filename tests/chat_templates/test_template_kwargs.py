"""Variables of a chat template that a caller may set: those that the template reads, and no others."""

from __future__ import annotations

import pytest

from chat_templates import FAMILIES, TemplateRequestError, get_family
from chat_templates.render import render_template

MESSAGES = [{"role": "user", "content": "Hi"}]
QWEN3 = get_family("qwen3")


def test_qwen3_is_kept_from_thinking_by_its_templates_own_variable():
    thinking = QWEN3.render(MESSAGES)
    assert QWEN3.render(MESSAGES, template_kwargs={"enable_thinking": True}) == thinking
    expected = thinking + "<think>\n\n</think>\n\n"
    assert QWEN3.render(MESSAGES, template_kwargs={"enable_thinking": False}) == expected


@pytest.mark.parametrize("family_id", [family for family in FAMILIES if family != "minitron"])
def test_what_keeps_a_family_from_thinking_is_known_to_its_template(family_id):
    family = get_family(family_id)
    switched = family.render(MESSAGES, template_kwargs=family.without_thinking)
    assert (switched == family.render(MESSAGES)) == (not family.without_thinking)


def test_a_name_that_the_template_does_not_read_is_refused_with_those_that_it_does():
    with pytest.raises(TemplateRequestError, match="it knows: enable_thinking") as caught:
        QWEN3.render(MESSAGES, template_kwargs={"enable_thinking": False, "thinking": False})
    assert caught.value.param == "chat_template_kwargs.thinking"
    with pytest.raises(TemplateRequestError, match="it knows: none"):
        get_family("qwen2.5").render(MESSAGES, template_kwargs={"enable_thinking": False})


@pytest.mark.parametrize("name", ["messages", "tools", "bos_token", "add_generation_prompt", "refuse", "range"])
def test_what_the_server_gives_a_template_is_not_the_callers(name):
    with pytest.raises(TemplateRequestError, match=name):
        QWEN3.render(MESSAGES, template_kwargs={name: []})


def test_a_default_that_the_template_sets_itself_can_be_overridden(today):
    template = "{% if not date is defined %}{% set date = strftime_now('%Y') %}{% endif %}{{ date }}"
    assert render_template(template, {}, today=today) == "2026"
    assert render_template(template, {}, today=today, template_kwargs={"date": "1999"}) == "1999"


@pytest.fixture
def today():
    from datetime import date

    return date(2026, 11, 21)
