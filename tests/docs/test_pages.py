"""What pages say of themselves: lines that fit a screen, links that lead somewhere, figures that were measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from decimal import Decimal

import pytest
from docs.pages import GUIDES, RECORDS, ROOT

from chat_templates import FAMILIES
from docs.measurements.table import load, page

PAGES = [*GUIDES, *RECORDS, ROOT / "CHANGELOG.md"]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
README = (ROOT / "README.md").read_text("utf-8")
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w.]*\w)")


def numbers(value):
    """All numbers in a JSON value, and those in its texts."""
    if isinstance(value, dict):
        return {number for each in value.values() for number in numbers(each)}
    if isinstance(value, list):
        return {number for each in value for number in numbers(each)}
    if isinstance(value, str):
        return {Decimal(found.replace(",", "")) for found in NUMBER.findall(value)}
    return {abs(Decimal(value))}


def figures():
    """The numbers of each file of measurements: figures alone, by the file's title."""
    return {
        file["title"]: {number for series in file["series"] for number in numbers(series["figures"])} for file in load()
    }


def rows():
    """The cells after the first of each row of README's tables that has a number there."""
    for line in README.splitlines():
        cells = line.strip("| ").split(" | ")
        if line.startswith("| ") and numbers(cells[1:]):
            yield line


def anchors(text):
    """GitHub's names of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_lines_fit_a_screen(path):
    """120 characters; rows of a table are one line each, in README short ones."""
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 and (path.name == "README.md" or line[:1] != "|")] == []


def test_readme_takes_ten_minutes():
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("path", [*PAGES, *DECISIONS], ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        if ":" in name:
            continue
        file = path.parent / name if name else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text("utf-8")), target


def test_every_family_is_in_the_table_of_families():
    table = (ROOT / "docs" / "families.md").read_text("utf-8")
    named = {
        family
        for row in re.findall(r"^\| (`.+?) \|", table, flags=re.MULTILINE)
        for family in re.findall(r"`(.+?)`", row)
    }
    assert named == set(FAMILIES)


@pytest.mark.parametrize("row", list(rows()))
def test_a_figure_of_readme_was_measured(row):
    """All numbers of a row are figures of one file of measurements."""
    cells = row.strip("| ").split(" | ")
    assert any(numbers(cells[1:]) <= known for known in figures().values())


def test_the_page_of_measurements_is_what_the_script_prints():
    assert (ROOT / "docs" / "measurements.md").read_text("utf-8") == page(load()), "run `make measurements`"


def test_the_script_prints_the_page():
    script = ROOT / "docs" / "measurements" / "table.py"
    printed = subprocess.run([sys.executable, script], capture_output=True, check=True).stdout.decode("utf-8")
    assert printed == page(load())


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "measurements").glob("*.json")), ids=lambda path: path.name)
def test_a_series_says_what_when_where_and_how(path):
    file = json.loads(path.read_text("utf-8"))
    assert file.keys() == {"title", "series"}
    for series in file["series"]:
        assert series.keys() - {"notes"} == {"what", "date", "commit", "machine", "commands", "figures"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", series["date"])
        assert re.fullmatch(r"[0-9a-f]{7,40}", series["commit"])
        assert series["commands"] or series["notes"]
        for figure in series["figures"]:
            assert figure.keys() - {"compared", "ratio", "aim"} == {"case", "ours"}
            assert figure["case"]
            assert figure["ours"]
