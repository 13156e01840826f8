"""The words of a text: what stands in values, and what is left."""

import time

import pytest

from server.chat.evidence.words import Words, mentions


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("What's the weather in São Paulo?", "são paulo"),
        ("convert 1,250.50 dollars", 1250.5),
        ("a base of 30 cm", 30),
        ("weighs 90kg", 90),
        ("book two rooms", 2),
        ("solve 2x^2 - 3x + 5 = 0", [2, -3, 5]),
        ("mean of 3, 4 and 8", [3, 4, 8]),
        ("restart nginx on web-01", {"host": "web-01", "service": "nginx"}),
        ("look into /srv/data", "/srv/data"),
        ("the wood-land of Oslo", "woodland"),
        ("restart web 01", "web-01"),
        ("tell Mei I'm late", "Mei"),
        ("calories of bananas", "banana"),
        ("on or off", True),
        ("anything", None),
        ("anything", ""),
    ],
)
def test_a_value_whose_words_stand_in_the_text_is_found(text, value):
    assert Words(text).has(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("What's the weather?", "New York"),
        ("room 12", 1),
        ("room 12", 120),
        ("in 1999", 19),
        ("play the sound", "path/to/sound.wav"),
        ("the weather in Rome", "Rome, Italy"),
        ("mean of 3 and 4", [3, 4, 5]),
    ],
)
def test_a_value_of_which_a_word_is_nowhere_is_not(text, value):
    assert not Words(text).has(value)


def test_some_of_a_value_is_a_word_that_names_something():
    words = Words("Tell me the weather in Rome")
    assert words.has_some("Rome, Italy")
    assert not words.has_some("the capital of Italy")
    assert not words.has_some(True)


def test_a_long_text_mentions_what_a_short_one_has():
    for text, value in [
        ("Rome, Italy", "the Rome"),
        ("costs 1250.5", 1250.5),
        ("weighs 90kg", 90),
        ("two bananas", "banana"),
    ]:
        assert mentions(text.casefold(), value) is Words(text).has_some(value)
    for text, value in [("the weather", "the"), ("room 12", 1), ("in 1999", 99), ("romeo", "Rome"), ("no", True)]:
        assert not mentions(text, value)
        assert not Words(text).has_some(value)


def test_a_long_conversation_is_read_in_no_time():
    text = "It's 'said' that \"row 12\" of table-3 has 4.5 kg. " * 2000
    started = time.thread_time()
    assert not mentions(text.casefold(), {"city": "Atlantis", "days": 77})
    assert time.thread_time() - started < 0.1
    Words(text)
    assert time.thread_time() - started < 2.0


def left(text, *values, said=""):
    words = Words(text)
    return words.left(frozenset().union(*map(words.places, values)), said)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("What's the weather in Tallinn and in Leeds?", ["Tallinn"]),
        ("weather in paris and rome", ["paris"]),
        ("Factor 84, 97", [84]),
        ("Who wrote 'the trial', 'middlemarch'?", ["the trial"]),
        ("Heat the office to 22 degrees. Book a table", ["office", 22]),
        ("Compare Porto, Lima, Fez", ["Porto", "Lima"]),
    ],
)
def test_a_name_a_number_or_a_joined_word_that_no_value_has_is_left(text, values):
    assert left(text, *values, said="weather factor wrote compare")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("How clean is the air in Delhi?", ["Delhi"]),
        ("A triangle has a base of 30 and a height of 9. What is its area?", [30, 9]),
        ("Tell Rafael that dinner is at eight", ["Rafael", "dinner is at eight"]),
        ("Weather in Rome please", ["Rome"]),
        ("I would like to switch from pizza to a BURGER", ["BURGER"]),
        ("", []),
    ],
)
def test_what_the_values_and_the_tools_own_words_say_leaves_nothing(text, values):
    assert not left(text, *values, said="triangle base height area weather message")


@pytest.mark.parametrize(
    "text", ["I need a room in Oslo for at most 30 euros", "Flights from Oslo to Rome in business"]
)
def test_what_is_left_of_a_single_thing_is_how_it_was_said(text):
    assert not left(text, "Oslo")


def test_a_sentence_begins_with_a_capital_and_names_nothing_by_it():
    assert Words("rain in Oslo").names_something
    assert not Words("Rain. Quickly now").names_something
