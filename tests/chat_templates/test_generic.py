"""Models that were trained to no form: how they are asked, and that past calls are printed as they are asked for."""

import json

import pytest

from chat_templates import FAMILIES, fold, get_family
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
