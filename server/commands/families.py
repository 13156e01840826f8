"""`functiongate families`: what there is, how a file is recognised, what a call looks like."""

from __future__ import annotations

import json
from itertools import takewhile
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chat_templates import FAMILIES, ChatTemplateError, Family, get_family

_CALL = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
_SAMPLE = (
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "call00001", "type": "function", "function": _CALL}]},
)


def families(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """List the model families: how a file is recognised, what a call looks like, how well that is known.

    Evidence: S the vendor's source, T fixed by the vendor's tests too, D documented by the vendor, I inferred.
    """
    rows = [_describe(get_family(family_id)) for family_id in FAMILIES]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(show_lines=True)
    for name in ("family", "recognised by", "a call", "special tokens", "evidence", "example"):
        table.add_column(name, overflow="fold")
    for row in rows:
        call = (row["call"] or "").replace("\n", "\\n")
        cells = (row["id"], "\n".join(row["markers"]), call, "\n".join(row["special_tokens"]), row["evidence"])
        # Text, not str: brackets are what many formats are made of, and rich would read them as its markup.
        table.add_row(*map(Text, cells), Text(row["example_model"]))
    Console().print(table)


def _describe(family: Family) -> dict[str, Any]:
    return {
        "id": family.id,
        "title": family.title,
        "markers": list(family.markers),
        "absent": list(family.absent),
        "call": _sample_call(family),
        "special_tokens": sorted(family.special_tokens),
        "evidence": family.evidence,
        "example_model": family.example_model,
    }


def _sample_call(family: Family) -> str | None:
    """What a model of the family writes after its prompt to call; None if its template cannot show a call."""
    try:
        before = family.render(_SAMPLE[:1])
        after = family.render(_SAMPLE, add_generation_prompt=False)
    except ChatTemplateError:
        return None
    n_common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    call = after[n_common:]
    return call if _CALL["name"] in call else None
