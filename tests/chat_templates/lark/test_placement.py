"""The parser and the grammars agree on where a call without a marker may stand."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from chat_templates import get_family
from chat_templates.lark.placement import to_place

CALL = '{"name": "f", "arguments": {}}'
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
PIECES = st.sampled_from(
    ["`", "``", "```", "````", "json", "python", "\n", " ", "    ", "\t", "x", "= ", "</think>", ">"]
)
FAMILY = get_family("hermes-2-pro")


def calls_behind(text: str) -> int:
    parser = FAMILY.parser(TOOLS)
    events = [*parser.feed(text + CALL), *parser.finish()]
    return sum(type(event).__name__ == "ToolCallStart" for event in events)


@given(st.lists(PIECES, max_size=14).map("".join))
@example("`````\n```json\n")
@example("x ```json\n")
@example("x ```json ")
@example("```python\nx\n```\n")
@example("``\n")
def test_a_call_is_read_where_the_grammars_let_one_begin(text):
    place = re.compile(to_place(FAMILY.output.call.languages))

    assert calls_behind(text) == (place.fullmatch(text) is not None)
