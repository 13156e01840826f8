"""The page `docs/measurements.md`, printed from the JSON files beside this script: `make measurements`.

A file has a title and series. A series says what is measured, when, where, at which commit and by which commands; its
figures are cases, each with ours, what it is compared with, the ratio and the aim: values by the words that follow
them. A value is a number, a list, or a range (`from`, `to`). Numbers keep the digits that they are written with, since
these say how exact they are.
"""

from __future__ import annotations

import json
import sys
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_WHOLE = {"break_long_words": False, "break_on_hyphens": False}
HEAD = """\
# Measurements

What holds today, in one table; how each figure was measured stands below it. `make measurements` prints the page from
the files in [measurements/](measurements/), which are what to edit. What was tried, what failed and what held before
is in the notebook: [the server](notebook/2026-11-22-server.md), [the quantizer](notebook/2026-11-22-quantizer.md).

Speeds drift by a third on shared machines: what is compared was taken in turns, and the ratio is the figure.

"""


def load(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """The files' contents by file name, fractions as decimals with the digits that they are written with."""
    return [json.loads(path.read_text("utf-8"), parse_float=Decimal) for path in sorted(folder.glob("*.json"))]


def page(files: list[dict[str, Any]]) -> str:
    """The whole page."""
    series = [(file["title"], each) for file in files for each in file["series"]]
    table = ["| what | case | ours | compared with | ratio | aim |", "|---|---|---|---|---|---|"]
    for number, (title, each) in enumerate(series, 1):
        table += [_row(f"{title} [{number}](#{number})", figure) for figure in each["figures"]]
    told = [_how(f"### {number}", title, each) for number, (title, each) in enumerate(series, 1)]
    return HEAD + "\n".join(table) + "\n\n## How each was measured\n\n" + "\n".join(told)


def _row(what: str, figure: dict[str, Any]) -> str:
    compared = "; ".join(f"{name}: {_figures(each)}" for name, each in figure.get("compared", {}).items())
    ratio, aim = _figures(figure.get("ratio", {})), _figures(figure.get("aim", {}))
    return f"| {what} | {figure['case']} | {_figures(figure['ours'])} | {compared} | {ratio} | {aim} |"


def _figures(figures: dict[str, Any] | str) -> str:
    """`88 % right, 0.30 decode steps per token`; what is no figure stands as it is."""
    if isinstance(figures, str):
        return figures
    return ", ".join(f"{_value(value)} {unit}" for unit, value in figures.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{_value(value['from'])} to {_value(value['to'])}"
    if isinstance(value, list):
        return " / ".join(map(_value, value))
    return f"{value:,}"


def _how(heading: str, title: str, series: dict[str, Any]) -> str:
    said = f"**{title}: {series['what']}.** {series['date']}, commit {series['commit']}; {series['machine']}."
    said += f" {series['notes']}" if "notes" in series else ""
    wrapped = textwrap.fill(said, 120, **_WHOLE)
    commands = "".join(" \\\n    ".join(textwrap.wrap(each, 114, **_WHOLE)) + "\n" for each in series["commands"])
    return f"{heading}\n\n{wrapped}\n" + (f"\n```sh\n{commands}```\n" if commands else "")


if __name__ == "__main__":
    sys.stdout.write(page(load()))
