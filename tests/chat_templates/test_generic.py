"""Models that were trained to no form: how they are asked, and that past calls are printed as they are asked for."""

import json

import pytest

from chat_templates import FAMILIES, TemplateFileError, fold, get_family
from chat_templates.generic.asking import Asking

FORMS = [name for name in FAMILIES if name.startswith("generic")]
CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": CITY}} for name in ("weather", "air")]
ARGUMENTS = [{"city": 'Saint-Denis "l\'Île"', "days": 3}, {"city": "Rome"}, {}]


def called(*arguments):
    calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": "weather", "arguments": json.dumps(each)}}
        for i, each in enumerate(arguments)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


@pytest.mark.parametrize("family_id", FORMS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_past_calls_are_printed_as_the_form_reads_them(family_id, n):
    family = get_family(family_id)
    prompt = family.render(
        [{"role": "user", "content": "?"}, called(*ARGUMENTS[:n])], TOOLS, add_generation_prompt=False
    )
    text = prompt.rpartition("<|im_start|>assistant\n")[2].removesuffix("\n").removesuffix("<|im_end|>")
    parser = family.parser(TOOLS)
    message = fold([*parser.feed(text), *parser.finish()])
    assert [json.loads(call.arguments) for call in message.tool_calls] == ARGUMENTS[:n]
    assert not message.content


@pytest.mark.parametrize("family_id", FORMS)
def test_the_instruction_names_every_function_and_is_made_once(family_id, monkeypatch):
    made = []

    def functions(_):
        made.append(1)
        return [{"name": "weather"}]

    monkeypatch.setattr("chat_templates.generic.asking.function_tools", functions)
    family = get_family(family_id)
    tools = family.prepare_tools(TOOLS)
    for _ in range(2):
        assert '{"name": "weather"}' in family.render([{"role": "user", "content": "?"}], tools)
    assert made == [1]


def test_each_form_has_an_instruction_of_its_own():
    asking = [get_family(family_id).asking for family_id in FORMS]
    assert all(isinstance(each, Asking) for each in asking)
    assert len({each.instruction for each in asking}) == len(FORMS)


ALTERNATING = """
{%- for message in messages -%}
    {%- if (message.role == "user") != (loop.index0 % 2 == 0) %}{{ raise_exception("they alternate") }}{% endif -%}
    <{{ message.role }}>{{ message.content }}
{%- endfor -%}
"""
SYSTEM_FIRST = """
{%- for message in messages -%}
    {%- if message.role == "system" and not loop.first %}{{ raise_exception("system comes first") }}{% endif -%}
    <{{ message.role }}>{{ message.content }}
{%- endfor -%}
"""


def said(*turns):
    return [{"role": role, "content": content} for role, content in turns]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (ALTERNATING, "<user>s\n\na<assistant>b\n\nc<user>t\n\nd"),
        (SYSTEM_FIRST, "<system>s<user>a<assistant>b\n\nc<user>t\n\nd"),
        ("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", None),
    ],
)
def test_a_conversation_is_changed_no_more_than_the_models_own_template_wants(template, expected):
    family = get_family("generic").fitted(template, bos_token="", eos_token="")
    turns = (("system", "s"), ("user", "a"), ("assistant", "b"), ("assistant", "c"), ("system", "t"), ("user", "d"))
    prompt = family.prompt(said(*turns))
    assert prompt.text == (expected or "".join(f"<{role}>{content}" for role, content in turns))
    assert prompt.moved == ((4,) if expected else ())


def test_a_conversation_that_no_change_fits_is_refused_as_the_template_says():
    family = get_family("generic").fitted(ALTERNATING, bos_token="", eos_token="")
    with pytest.raises(TemplateFileError, match="they alternate"):
        family.prompt(said(("assistant", "b"), ("user", "a")))
