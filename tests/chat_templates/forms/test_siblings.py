"""What one family writes is a call in every other, of an offered tool, where a call without a marker may stand."""

import json

import pytest

from chat_templates import FAMILIES, get_family, parse_output
from chat_templates.events import ToolCallArguments, fold

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "hourly": {"type": "boolean"},
        "units": {"type": "array", "items": {"type": "string"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
ROME = {"city": "Rome"}
FORMS = {
    "tag with an object": '<function=weather>{"city": "Rome"}</function>',
    "tag in a tag": '<tool_call>\n<function=weather>{"city": "Rome"}</function>\n</tool_call>',
    "name in a tag, bare arguments": '<tool_call>\n<function>weather</function>\n{"city": "Rome"}\n</tool_call>',
    "parameters": "<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>",
    "parameters without a marker": "<function=weather>\n<parameter=city>Rome</parameter>\n</function>",
    "object in a tag": '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>',
    "object in another tag": '<function_call>{"name": "weather", "arguments": {"city": "Rome"}}</function_call>',
    "object as a tag": '<functioncall {"name": "weather", "arguments": {"city": "Rome"}}>',
    "object behind a tag": '<functioncall> {"name": "weather", "arguments": {"city": "Rome"}}',
    "list in Python": "[weather(city='Rome')]",
    "two braces": '<tool_call>\n{{"name": "weather", "arguments": {"city": "Rome"}}}\n</tool_call>',
    "a brace too many": '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}}\n</tool_call>',
}
ALL_FAMILIES = pytest.mark.parametrize("family_id", [name for name in FAMILIES if name != "minitron"])
# Their own form gives `<function=…>` another meaning: what stands behind it is raw.
RAW = ("functionary-v4r", "functionary-v3.1")


PLACES = [
    (form, before)
    for form in FORMS
    for before in ("", "```\n", "Let me look.\n\n", *(["```xml\n"] if FORMS[form].startswith("<") else []))
]


@ALL_FAMILIES
@pytest.mark.parametrize(("form", "fence"), PLACES)
def test_a_call_in_another_familys_form_is_a_call(family_id, form, fence):
    output = get_family(family_id).output
    text = output.call.text_start + fence + FORMS[form] + ("\n```" if "`" in fence else "")
    message = parse_output(family_id, text, TOOLS)
    [call] = message.tool_calls
    is_raw = family_id in RAW and "parameters" in form and "<tool_call>" not in FORMS[form]
    assert call.name == "weather"
    assert "Rome" in call.arguments if is_raw else json.loads(call.arguments) == ROME
    assert (message.content or "").strip() == fence.strip("`xml\n")


@pytest.mark.parametrize("form", FORMS)
def test_of_a_tool_that_was_not_offered_it_is_content(form):
    message = parse_output("llama-3.1", FORMS[form].replace("weather", "wether"), TOOLS)
    assert message.tool_calls == []
    assert message.content == FORMS[form].replace("weather", "wether")


@pytest.mark.parametrize("form", FORMS)
def test_in_the_middle_of_a_line_and_in_code_it_is_content(form):
    on_one_line = FORMS[form].replace("\n", " ")
    for text in (f"Write {on_one_line} to call it.", f"```python\n{FORMS[form]}\n```"):
        message = parse_output("llama-3.1", text, TOOLS)
        assert (message.tool_calls, message.content) == ([], text)


@pytest.mark.parametrize("form", FORMS)
def test_every_cut_gives_the_same_events(form):
    whole = parse_output("generic", FORMS[form], TOOLS)
    for at in range(len(FORMS[form])):
        parser = get_family("generic").parser(TOOLS)
        events = [*parser.feed(FORMS[form][:at]), *parser.feed(FORMS[form][at:]), *parser.finish()]
        assert fold(events) == whole


def parameters(**texts):
    tags = "".join(f"<parameter={key}>\n{text}\n</parameter>\n" for key, text in texts.items())
    return f"<tool_call>\n<function=weather>\n{tags}</function>\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ({"city": "5"}, {"city": "5"}),
        ({"city": ' "Rome"\n\nand\\n <b> '}, {"city": ' "Rome"\n\nand\\n <b> '}),
        ({"city": ""}, {"city": ""}),
        ({"days": "5"}, {"days": 5}),
        ({"days": "five"}, {"days": "five"}),
        ({"hourly": "true"}, {"hourly": True}),
        ({"hourly": "False"}, {"hourly": False}),
        ({"units": '["C", "F"]'}, {"units": ["C", "F"]}),
        ({"units": "['C', 'F']"}, {"units": ["C", "F"]}),
        ({"note": "null"}, {"note": None}),
        ({"note": "None of it"}, {"note": "None of it"}),
        ({"unknown": "5"}, {"unknown": "5"}),
        ({"unknown": '{"a": 1}'}, {"unknown": {"a": 1}}),
        ({"city": "Rome", "days": "2"}, {"city": "Rome", "days": 2}),
        ({}, {}),
    ],
)
def test_a_parameters_text_is_what_its_schema_says(text, value):
    call = parse_output("qwen2.5", parameters(**text), TOOLS).tool_calls[0]
    assert json.loads(call.arguments) == value


def test_a_text_streams_before_it_is_complete():
    parser = get_family("qwen2.5").parser(TOOLS)
    events = parser.feed("<tool_call>\n<function=weather>\n<parameter=city>\nSan Fran")
    told = "".join(event.text for event in events if isinstance(event, ToolCallArguments))
    assert told == '{"city": "San Fran'


def test_what_the_model_broke_off_is_content():
    text = "<tool_call>\n<function=weather>\n<parameter=city>\nRome"
    assert parse_output("qwen2.5", text, TOOLS).content == text
