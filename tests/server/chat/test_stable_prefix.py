import pytest

from chat_templates import FAMILIES, ChatTemplateError, get_family
from server.chat.stable_prefix import StablePrefix

TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "Weather.", "parameters": {"type": "object"}},
    }
]
SYSTEM = {"role": "system", "content": "Be brief."}


def chats():
    for family_id in FAMILIES:
        family = get_family(family_id)
        try:
            family.render([SYSTEM, {"role": "user", "content": "?"}], TOOLS)
        except ChatTemplateError:
            continue
        yield family


@pytest.mark.parametrize("family", list(chats()), ids=lambda family: family.id)
def test_the_prefix_begins_every_conversation_and_holds_what_does_not_change(family):
    prefixes = StablePrefix()
    text = prefixes.of([SYSTEM], TOOLS, {}, lambda messages: family.render(messages, TOOLS))
    for content in ("Hello", "A", "weather in Paris?"):
        assert family.render([SYSTEM, {"role": "user", "content": content}], TOOLS).startswith(text)
    if family.id not in {"mistral-small-3.2", "mistral-nemo"}:  # these write tools beside the last user turn
        assert "get_weather" in text


def test_a_prefix_is_found_once_and_only_by_what_it_depends_on():
    calls = []

    def render(messages):
        calls.append(messages)
        return "".join(message["content"] for message in messages)

    prefixes = StablePrefix()
    assert prefixes.of([SYSTEM, {"role": "user", "content": "x"}], (), {}, render) == "Be brief."
    assert prefixes.of([SYSTEM, {"role": "user", "content": "y"}], (), {}, render) == "Be brief."
    assert len(calls) == 2
    assert prefixes.of([{"role": "user", "content": "y"}], (), {}, render) == ""
    assert prefixes.of([SYSTEM], TOOLS, {}, render) == "Be brief."
    assert len(calls) == 6
    prefixes.of([SYSTEM], TOOLS, {"enable_thinking": False}, render)
    assert len(calls) == 8


def test_a_template_that_refuses_has_no_prefix():
    def refuse(messages):
        raise ChatTemplateError(str(messages))

    assert StablePrefix().of([SYSTEM], TOOLS, {}, refuse) == ""
