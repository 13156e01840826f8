"""What docs/architecture.md names is there: every path, and every symbol in the file that the table gives for it."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", re.sub(r"(?s)^```.*?^```", "", PAGE, flags=re.MULTILINE))))
PATHS = [span for span in SPANS if re.fullmatch(r"(server|quantizer|chat_templates|tests|docs)/[\w./-]*", span)]
NAMES = [span for span in SPANS if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", span)]
ROWS = re.findall(r"^\| (.+?) \| `([^`]+)` \| `([^`]+)` \|$", PAGE, flags=re.MULTILINE)
DEFINITION = r"(?m)^\s*(?:(?:async )?def|class|function|void|bool)\b[ (]*{}\b"
PACKAGES = ("server", "quantizer", "chat_templates")
SUFFIXES = {".py", ".cpp", ".cmake"}


@functools.cache
def sources():
    return "\n".join(
        path.read_text("utf-8")
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in SUFFIXES
    )


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_there(path):
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_there(name):
    """`Class.method` too; a bare word may be a function, a field or a value of the wire."""
    for word in name.split("."):
        assert re.search(rf"\b{word}\b", sources()) or (ROOT / name).is_file() or word == "strlen"


@pytest.mark.parametrize(("question", "path", "name"), ROWS, ids=lambda value: value)
def test_a_questions_answer_is_defined_in_its_file(question, path, name):
    assert re.search(DEFINITION.format(name), (ROOT / path).read_text("utf-8")), question


def test_the_table_answers_what_a_newcomer_asks():
    assert len(ROWS) > 40
    assert {"a tool's schema made a grammar", "a tensor's type decided", "a stream's chunk written"} <= {
        question for question, _, _ in ROWS
    }


def test_every_room_is_in_the_page():
    """A folder of code that is no family's."""
    rooms = {
        f"{path.relative_to(ROOT).as_posix()}/"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_dir() and (path / "__init__.py").exists() and not (path / "family.py").exists()
    }
    assert rooms <= set(PATHS)
