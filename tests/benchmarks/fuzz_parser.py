"""Arbitrary text and mutated golden outputs through every family's parser, for as long as wanted.

    python tests/benchmarks/fuzz_parser.py --minutes 10 --seed 1

Checked of each text: no exception; the events of a random cut are those of the whole; every call starts once, tells
arguments only while it is open, and ends at most once; and no word put where only prose can be is lost.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Annotated, Any

import typer
from golden_cases import golden, tools_named
from rich.console import Console

from chat_templates import (
    FAMILIES,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallRetracted,
    ToolCallStart,
    fold,
    get_family,
    merge,
)

NAMES = ("get_weather", "now", "a.b", "search-docs")
TOOLS = [*tools_named(*NAMES), {"type": "code_interpreter"}]
WORD = "qxzword"
FRAGMENTS = (
    *('{"name": "', '"arguments": ', '"parameters": {', '"city": "Par', "{}", "}", "]", "[", "{", '"', "\\", "\\u00e9"),
    *("```json\n", "```", "\n", " ", ", ", ";", "(", ")", "=", "'", "True", "None", "-1.5e3", "null", "日本", "🌧"),
    *("<", ">", ">>>", "all\n", "<function=", "</function>", "<tool_call>", "</tool_call>", "<think>", "</think>"),
    *("<|python_tag|>", "<|eot_id|>", "<|recipient|>", "<|content|>", "<|from|>assistant", "[TOOL_CALLS]", "[ARGS]"),
    *("<|reserved_special_token_249|>", "[CALL_ID]", "tool_calls", "response", "required_functions", "clarification"),
    *NAMES,
)
OUTPUTS = [case["raw_output"] for case in golden("outputs")]


def text_from(chance: random.Random) -> str:
    """Fragments at random, arbitrary characters, or a golden output that was damaged."""
    kind = chance.random()
    if kind < 0.4:
        return "".join(chance.choice(FRAGMENTS) for _ in range(chance.randrange(1, 30)))
    if kind < 0.5:
        return "".join(chr(chance.choice((chance.randrange(32, 127), chance.randrange(1, 0xD800)))) for _ in range(80))
    text = chance.choice(OUTPUTS)
    for _ in range(chance.randrange(1, 6)):
        i, j = sorted((chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)))
        match chance.randrange(4):
            case 0:
                text = text[:i] + text[min(j, i + 8) :]
            case 1:
                text = text[:i] + chance.choice(FRAGMENTS) + text[i:]
            case 2:
                text = text[:j] + text[i:j] + text[j:]
            case _:
                other = chance.choice(OUTPUTS)
                text = text[:i] + other[chance.randrange(len(other) + 1) :]
    return text


def events_of(family_id: str, pieces: list[str], tools: list[dict[str, Any]] | None, *, cut: bool) -> list[Any]:
    """The merged events of a text in pieces."""
    parser = get_family(family_id).parser(tools)
    told = [event for piece in pieces for event in parser.feed(piece)]
    return merge([*told, *parser.finish(cut=cut)])


def assert_well_formed(events: list[Any]) -> None:
    """Calls start, tell and end in order."""
    is_open: dict[int, bool] = {}
    for event in events:
        match event:
            case ToolCallStart(index):
                assert index not in is_open, "a call starts twice"
                is_open[index] = True
            case ToolCallArguments(index):
                assert is_open[index], "arguments after the end of a call"
            case ToolCallEnd(index):
                assert is_open[index], "a call ends twice"
                is_open[index] = False
            case ToolCallRetracted(index):
                assert index == max(is_open), "only the latest call can be retracted"
                del is_open[index]


def check(family_id: str, chance: random.Random) -> None:
    """One text. Raises `AssertionError`."""
    # Prose before the text and a line after it: words that no syntax can take.
    text = f"{WORD} {text_from(chance)}\n"
    tools = chance.choice((None, TOOLS, TOOLS[:1]))
    cut = chance.random() < 0.3
    whole = events_of(family_id, [text], tools, cut=cut)
    borders = sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(1, 12)))
    pieces = [text[a:b] for a, b in zip([0, *borders], [*borders, len(text)], strict=True)]
    assert events_of(family_id, pieces, tools, cut=cut) == whole, (family_id, text, pieces)
    assert events_of(family_id, list(text), tools, cut=cut) == whole, (family_id, text)
    assert_well_formed(whole)
    message = fold(whole)
    told = (message.content or "") + (message.reasoning or "")
    told += "".join(call.name + call.arguments for call in message.tool_calls)
    assert WORD in told, (family_id, text)


def main(
    minutes: Annotated[float, typer.Option(help="How long.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Where to begin.")] = 1,
) -> None:
    """Look for a text that a parser gets wrong."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    families = [name for name in FAMILIES if name != "minitron"]
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        for family_id in families:
            state = chance.getstate()
            try:
                check(family_id, chance)
            except Exception:
                chance.setstate(state)
                Console(stderr=True).print(f"{family_id} fails on {text_from(chance)!r}", markup=False)
                raise
            counts[family_id] += 1
    Console().print(f"{counts.total()} texts, {counts[families[0]]} to each of {len(families)} families: no failure")


if __name__ == "__main__":
    typer.run(main)
