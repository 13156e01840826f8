"""The pages' blocks of code and inline commands, and what there is for them to name."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import typer

from quantizer.__main__ import PROGRAM as QUANTIZE
from server.__main__ import PROGRAM as SERVE

ROOT = Path(__file__).parents[2]
# What a reader follows. Records (the notebook, the printed measurements, the decisions) say what was done: it took
# hours and models that are not here, so their commands are only looked at.
GUIDES = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "measurements.md"})]
RECORDS = [ROOT / "docs" / "measurements.md", *sorted((ROOT / "docs" / "notebook").glob("*.md"))]
PROGRAMS = {program.name: program for program in (SERVE, QUANTIZE)}


@dataclass(frozen=True)
class Block:
    """One fenced block. `shown` is the block right after it, if that is an output."""

    page: str
    line: int
    language: str
    text: str
    shown: str | None = None
    is_shown: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text, found = page.read_text("utf-8"), []
    fences = list(re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL))
    follows = [
        after is not None
        and block[1] in {"sh", "python"}
        and after[1] in {"text", "json"}
        and not text[block.end() : after.start()].strip()
        for block, after in zip_longest(fences, fences[1:])
    ]
    for i, block in enumerate(fences):
        shown = fences[i + 1][2] if follows[i] else None
        name, line = page.relative_to(ROOT).as_posix(), text.count("\n", 0, block.start()) + 2
        found.append(Block(name, line, block[1], block[2], shown, is_shown=i > 0 and follows[i - 1]))
    return found


def commands(text: str) -> list[str]:
    """The commands of a shell block, each whole however many lines it has, without remarks."""
    found, open_ = [], ""
    for line in text.splitlines():
        open_ += line + "\n"
        if not line.endswith("\\") and _is_closed(open_):
            found.append(open_.rstrip("\n"))
            open_ = ""
    return [command for command in found if shlex.split(command, comments=True)]


def _is_closed(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True


def inline(page: Path) -> list[str]:
    """The spans of code outside of blocks, each on one line."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def flags(program: str, verb: str) -> set[str]:
    """The flags of a verb. Raises `KeyError` if there is no such verb."""
    command = typer.main.get_command(PROGRAMS[program].app([verb])).commands[verb]
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


def every_flag() -> set[str]:
    """The flags of both programs."""
    return {flag for name, program in PROGRAMS.items() for verb in program.verbs for flag in flags(name, verb)}


def calls(command: str) -> list[tuple[str, list[str]]]:
    """Each of our programs that a command calls, with its arguments."""
    found: list[tuple[str, list[str]]] = []
    for words in _simple(command):
        if words[:2] == ["sh", "-c"]:
            found += calls(words[2])
        for i, word in enumerate(words):
            if word.rpartition("/")[2] in PROGRAMS and (i == 0 or "=" in words[i - 1] or words[i - 1] == "exec"):
                found.append((word.rpartition("/")[2], words[i + 1 :]))
                break
    return found


def _simple(command: str) -> list[list[str]]:
    """The words of each simple command between `|`, `&&` and `;`."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;"):
            found.append([])
        else:
            found[-1].append(word)
    return found


def targets() -> set[str]:
    """The targets that `make help` lists."""
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
