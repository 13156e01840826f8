"""Which calls a conversation speaks for."""

import pytest

from server.chat.evidence.rules import Evidence, MadeCall


def function(name, required=(), **properties):
    parameters = {"type": "object", "properties": properties, "required": list(required or properties)}
    return {"name": name, "description": f"Use of {name}", "parameters": parameters}


STRING, NUMBER = {"type": "string"}, {"type": "number"}
WEATHER = function("weather", ["city"], city=STRING, unit={"type": "string", "enum": ["celsius", "fahrenheit"]})
AIR = function("air_quality", city=STRING)
LIGHT = function("set_light", room=STRING, state={"enum": ["on", "off"]})
CLOCK = function("clock", ["now"], now={"type": "boolean"})
REMIND = function("remind", date=STRING)
FUNCTIONS = [WEATHER, AIR, LIGHT, CLOCK, REMIND]


def evidence(text, *more):
    return Evidence([{"role": "user", "content": text}, *more], FUNCTIONS)


def call(name, **arguments):
    return MadeCall(name, arguments)


def test_a_call_with_a_value_of_the_conversation_is_grounded():
    assert evidence("Weather in Rome?").grounds(call("weather", city="Rome, Italy"))
    result = {"role": "tool", "tool_call_id": "c", "content": '{"city": "Oslo"}'}
    assert evidence("And where I am?", result).grounds(call("weather", city="Oslo"))


def test_a_call_of_which_nothing_was_said_is_not():
    assert not evidence("What's the weather like?").grounds(call("weather", city="New York", unit="celsius"))


@pytest.mark.parametrize(
    "text",
    [
        "Weather in the capital of France?",
        "a timer for five minutes",
        "a timer for 5 minutes",
        "the 'big apple' please",
    ],
)
def test_a_value_that_may_come_from_what_was_named_is_let_through(text):
    assert evidence(text).grounds(call("weather", city="Paris"))


def test_so_is_one_that_may_come_from_a_result():
    result = {"role": "tool", "tool_call_id": "c", "content": "somewhere"}
    assert evidence("and where i am?", result).grounds(call("weather", city="Oslo"))


def test_what_the_model_said_itself_speaks_for_nothing():
    said = {"role": "assistant", "content": "Shall I look up New York?"}
    assert not evidence("Hm, the weather?", said).grounds(call("weather", city="New York"))


@pytest.mark.parametrize(
    "made",
    [
        call("clock", now=True),
        call("remind", date="2026-11-27"),
        call("unknown", city="Nowhere"),
        MadeCall("weather", None),
        call("weather", city="NYC"),
    ],
)
def test_what_words_cannot_judge_is_let_through(made):
    assert evidence("Do it tomorrow").grounds(made)


def test_a_name_in_another_script_is_let_through():
    assert evidence("北京天气怎么样?").grounds(call("weather", city="Beijing"))
    assert not evidence("What's the weather like?").grounds(call("weather", city="Beijing"))


def test_a_value_speaks_for_a_call_before_the_call_is_whole():
    assert evidence("Light in the kitchen on").speaks_for(call("set_light", room="kitchen"))
    assert not evidence("Light in the kitchen on").speaks_for(call("set_light"))


QUESTION = "What's the weather in Tallinn and in Leeds?"


def test_a_question_asks_for_more_while_a_name_is_in_no_call():
    asked = evidence(QUESTION)
    first, second = call("weather", city="Tallinn"), call("weather", city="Leeds")
    assert asked.asks_for_more([first])
    assert not asked.asks_for_more([first, second])
    assert asked.asks_for(second, [first])


@pytest.mark.parametrize(
    "unasked",
    [
        call("weather", city="Tallinn"),
        call("weather", city="Tallinn", unit="fahrenheit"),
        call("air_quality", city="Tallinn"),
        call("weather", city="Riga"),
        call("set_light", room="kitchen", state="on"),
    ],
)
def test_a_call_with_nothing_new_or_with_what_was_not_said_is_not_asked_for(unasked):
    assert not evidence(QUESTION).asks_for(unasked, [call("weather", city="Tallinn")])


def test_a_tool_that_could_have_been_called_instead_is_not_called_beside_another():
    growth = function("growth", species=STRING, place=STRING)
    impact = function("impact", ["species", "wood"], species=STRING, wood=STRING, place=STRING, years=NUMBER)
    text = "How fast do deer grow in the Blackwood in Washington, and tell me about owls in Oregon?"
    asked = Evidence([{"role": "user", "content": text}], [growth, impact])
    made = [call("growth", species="deer", place="Washington")]
    assert not asked.asks_for(call("impact", species="deer", wood="Blackwood", place="Washington", years=5), made)
    assert asked.asks_for(call("impact", species="owls", wood="Blackwood", place="Oregon"), made)


@pytest.mark.parametrize(
    "text",
    ["Look up Rome, then use it in the Hall", "Rome, and once you have it, the Hall", "Use the result for Hall, Rome"],
)
def test_another_tool_is_not_asked_for_at_once_where_things_follow_one_another(text):
    asked = evidence(text)
    assert asked.has_sequence
    assert not asked.asks_for(call("set_light", room="Hall", state="on"), [call("weather", city="Rome")])


@pytest.mark.parametrize(
    ("text", "is_asked"),
    [
        ("Median and variance of 3, 4 and 8, please", True),
        ("Median of 3, 4 and 8 and nothing else", False),
        ("The median of 3, 4 and 8, then the variance", True),
        ("The median of 3, 4 and 8, then the variance of that", False),
    ],
)
def test_a_tool_that_is_named_is_asked_for_with_the_same_values(text, is_asked):
    numbers = {"type": "array", "items": {"type": "number"}}
    functions = [function("get_median", data=numbers), function("statistics.getVariance", data=numbers)]
    asked = Evidence([{"role": "user", "content": text}], functions)
    data = [3, 4, 8]
    assert asked.asks_for(call("statistics.getVariance", data=data), [call("get_median", data=data)]) is is_asked


def test_the_same_tool_is():
    asked = evidence("Weather in Rome, then the same for Oslo")
    assert asked.asks_for(call("weather", city="Oslo"), [call("weather", city="Rome")])


def test_a_value_that_a_call_had_may_come_again():
    loan = function("loan", rate=NUMBER, years=NUMBER)
    asked = Evidence([{"role": "user", "content": "A loan at 4% over 15, 20 and 30 years"}], [loan])
    made = [call("loan", rate=0.04, years=15)]
    assert asked.asks_for(call("loan", rate=0.04, years=20), made)
    assert not asked.asks_for(call("loan", rate=0.05, years=20), made)


def test_only_the_last_question_asks():
    earlier = {"role": "user", "content": "Weather in Oslo and Bergen?"}
    asked = Evidence([earlier, {"role": "user", "content": "And the air of Delhi?"}], FUNCTIONS)
    assert not asked.asks_for(call("weather", city="Bergen"), [call("air_quality", city="Delhi")])
