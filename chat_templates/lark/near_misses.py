"""Near misses as Lark rules: objects outside of a family's markers that name an offered tool and give it arguments.

Free text leads to an object at a place for calls, and goes on behind its brace, behind `"name":`, or with an offered
name, the arguments key and that tool's arguments. Each step is a lazy lexeme, so that a text is read for a few of them,
however many tools there are. The white space behind the brace tells how the model will print the rest: on one line,
indented by two, or as it likes. Knows JSON and places; no form.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from chat_templates.lark.layout import indented_arguments, open_arguments
from chat_templates.lark.placement import From, to_fence, to_line_start
from chat_templates.lark.rules import LarkGrammar, quoted
from chat_templates.readers.json_calls import object_head
from chat_templates.readers.state import CALL_KEYS
from chat_templates.schema.parameters import arguments_schema

Function = Mapping[str, Any]

# What may stand before the name in an object that is a call: models copy `"type": "function"` from the tools list.
_TO_NAME = r'("(type|id)"\s{0,4}:\s{0,4}"[^"]{0,64}"\s{0,4},\s{0,16})?"name"\s{0,4}:'
# White space after the opening brace; the three exclude one another.
_SPACE = {
    "one_line": " {0,2}",
    "indented": r"\n  ",
    "spaced": r"(\n{2,4} {0,16}|\n ?| {3,16}|\n {3,16}|\s{0,4}\t\s{0,4})",
}
_ARGUMENTS_KEY = r'\s{0,4},\s{0,16}"(' + "|".join(CALL_KEYS) + r')"\s{0,4}:'
# Between calls: only what promises another one. A line break does not: small models end their turn with one, and a
# second call forced after it would be invented. Bounded, so that a model cannot idle here.
_SEPARATOR = r"[,;][ \n]{0,4}"


def text_or_calls(
    grammar: LarkGrammar,
    functions: Sequence[Function],
    leads: Sequence[str],
    *,
    languages: Collection[str],
    close: str,
    parallel: bool,
) -> str:
    """The body of a rule: free text, what it `leads` to besides, or near misses of calls of these functions.

    `languages` are those of code fences around calls; `close` is the regular expression of what may stand behind them.
    """
    if not functions:
        return " | ".join(("TEXT", *leads))
    calls = _calls(grammar, functions, close, parallel=parallel)
    to_names = {layout: grammar.numbered(f"/{space}{_TO_NAME}/", options="[lazy]") for layout, space in _SPACE.items()}
    for start in (From.WORDS, From.CODE):  # where the text goes on if an object is no call
        text = f"text_in_{start.value}"
        named = [
            f"{to_name} {grammar.rule(f'{layout}_in_{start.value}', f'{text} | {calls[layout]}')}"
            for layout, to_name in to_names.items()
        ]
        grammar.rule(f"brace_in_{start.value}", " | ".join((text, *named)))
    for start in From:
        line = grammar.numbered(rf"/{to_line_start(start)}(\[\s*)?\{{/", options="[lazy]")
        fence = grammar.numbered(rf"/{to_fence(start, languages)}(\[\s*)?\{{/", options="[lazy]")
        heads = (f"{line} brace_in_{From.WORDS.value}", f"{fence} brace_in_{From.CODE.value}")
        grammar.rule(f"text_in_{start.value}", " | ".join(("TEXT", *leads, *heads)))
    return f"text_in_{From.START.value}"


def _calls(grammar: LarkGrammar, functions: Sequence[Function], close: str, *, parallel: bool) -> dict[str, str]:
    """For each layout the rule of calls from behind the first one's `"name":` to the end of the answer."""
    grammar.rule("NEAR_CLOSE", f"/{close}/")
    more = ""
    if parallel:
        bodies = [f'{quoted(object_head(f["name"]))} {grammar.arguments(f)} "}}"' for f in functions]
        grammar.rule("near_call", " | ".join(bodies))
        grammar.rule("NEAR_SEPARATOR", f"/{_SEPARATOR}/")
        more = "(NEAR_SEPARATOR near_call)*"
    firsts = _first_calls(grammar, functions)
    return {
        layout: grammar.rule(f"near_{layout}", f"({' | '.join(bodies)}) {more} NEAR_CLOSE?")
        for layout, bodies in firsts.items()
    }


def _first_calls(grammar: LarkGrammar, functions: Sequence[Function]) -> dict[str, list[str]]:
    """Bodies of a first call from behind its `"name":`: tools with the same arguments share a head."""
    grammar.rule("ARGUMENTS_KEY", f"/{_ARGUMENTS_KEY}/")
    grammar.rule("BEFORE_NAME", r"/\s{0,4}/")
    grammar.rule("CLOSING_BRACE", r"/\s{0,16}\}/")
    names: dict[tuple[str, str, str], list[str]] = {}
    for function in functions:
        schema = arguments_schema(function.get("parameters"))
        rests = (
            f'{grammar.arguments(function)} "}}"',
            f'{indented_arguments(schema, grammar, depth=1)} "\\n}}"',
            f"{open_arguments(schema, grammar)} CLOSING_BRACE",
        )
        names.setdefault(rests, []).append(quoted(json.dumps(function["name"], ensure_ascii=False)))
    bodies: dict[str, list[str]] = {layout: [] for layout in _SPACE}
    for rests, alike in names.items():
        name = alike[0] if len(alike) == 1 else f"({' | '.join(alike)})"
        head = grammar.numbered(f"BEFORE_NAME {name} ARGUMENTS_KEY", options="[lazy]")
        for layout, rest in zip(_SPACE, rests, strict=True):
            bodies[layout].append(f'{head} " " {rest}')
    return bodies
