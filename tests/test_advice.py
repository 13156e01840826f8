"""Advice that a message gives can be followed: every option that is named in one exists in the program that says it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer

import quantizer.__main__
import server.__main__

ROOT = Path(__file__).parents[1]
PROGRAMS = {"functiongate": server.__main__.PROGRAM, "functiongate-quantize": quantizer.__main__.PROGRAM}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
# They call another program with its own options, or compare with one by them.
STRANGERS = {"server/model_files/wheel.py"}
# They tell how another program is started, beside options of ours.
THEIRS = {"server/clients/claude.py": {"--bare", "--settings"}, "server/clients/codex.py": {"--profile"}}
# What both programs stand on: its messages reach the users of both.
SHARED = ("server/llama/", "server/model_files/", "server/machine/")


def options(program):
    """All options of all verbs, and those that click gives each."""
    command = typer.main.get_command(program.app(program.verbs))
    found = {"--help"}
    for verb in command.commands.values():
        for parameter in verb.params:
            found |= {*parameter.opts, *parameter.secondary_opts}
    return found


def said(tree):
    """The texts in a module that are no docstrings; the parts of an f-string are one text."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (documentation | inside)
        ):
            yield node.value


def programs_of(path, text):
    """Who says it: the program that it names, else those whose package it is in."""
    if named := re.search(r"functiongate(-quantize)?(?= )", text):
        return [named[0]]
    if path.startswith("quantizer/measures/calls/served.py"):
        return ["functiongate"]  # which it starts
    if path.startswith(SHARED):
        return list(PROGRAMS)
    return ["functiongate-quantize" if path.startswith("quantizer/") else "functiongate"]


def test_every_option_that_is_named_exists():
    known = {name: options(program) for name, program in PROGRAMS.items()}
    wrong, n_named = [], 0
    for package in ("server", "quantizer", "chat_templates"):
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if path in STRANGERS:
                continue
            for text in said(ast.parse(file.read_text("utf-8"))):
                for option in set(OPTION.findall(text)) - THEIRS.get(path, set()):
                    n_named += 1
                    wrong += [(path, option, who) for who in programs_of(path, text) if option not in known[who]]
    assert not wrong
    assert n_named > 50


@pytest.mark.parametrize("program", PROGRAMS)
def test_json_is_a_flag_and_a_file_for_it_is_json_file_in_every_verb(program):
    command = typer.main.get_command(PROGRAMS[program].app(PROGRAMS[program].verbs))
    found = {}
    for name, verb in command.commands.items():
        for parameter in verb.params:
            found |= {(name, option): parameter.is_flag for option in parameter.opts if option.startswith("--json")}
    assert {option for _, option in found} == {"--json", "--json-file"}
    assert all(is_flag == (option == "--json") for (_, option), is_flag in found.items())
