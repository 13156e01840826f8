"""Text after results that is no answer is told apart before any of it is said."""

from __future__ import annotations

import pytest

from server.chat.loop.echo import Echoes

ECHOES = Echoes(['{"status": "started", "ends_at": "10:47"}', "[1, 2]", "sunny", "399.5"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "```\n",
        "```json\n```",
        '{"status": "started", "ends_at": "10:47"}',
        '{\n  "status": "started",\n  "ends_at": "10:47"\n}',
        '```json\n{"status": "started", "ends_at": "10:47"}\n```',
        "[1,2]",
        "<tool_response>\n4 degrees\n</tool_response>",
        '{"name": "look_up", "arguments": {"city": "Oslo"}}',
        '```json\n{"name": "look_up", "parameters": {}}\n```',
    ],
)
def test_what_is_no_answer_is_held_from_its_first_character_to_its_end(text):
    assert all(ECHOES.may_be(text[:n]) for n in range(1, len(text) + 1))
    assert ECHOES.is_one(text)


@pytest.mark.parametrize(
    ("text", "told_after"),
    [
        ("It ends at 10:47.", "I"),
        ("sunny", "s"),
        ("399.5", "3"),
        ('{"answer": "10:47"}', '{"a'),
        ('{"status": "over"}', '{"status": "o'),
        ('```json\n{"ends_at": "10:47"}', '```json\n{"e'),
        ("```python\nprint(1)", "```python\np"),
        ("<b>10:47</b>", "<b"),
        ('{"name": "Ada", "office": "B12"}', '{"name": "Ada", "office": "B12"}'),
    ],
)
def test_an_answer_is_told_as_soon_as_it_is_one(text, told_after):
    assert not ECHOES.may_be(told_after)
    assert all(ECHOES.may_be(told_after[:n]) for n in range(1, len(told_after)))
    assert not ECHOES.is_one(text)
