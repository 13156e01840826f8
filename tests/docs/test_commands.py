"""Every command that a page names has a real verb and real flags, wherever it stands."""

from __future__ import annotations

import functools
import inspect
import os
import pkgutil
import re
import shlex
import subprocess
import sys

import pytest
from docs.pages import GUIDES, PROGRAMS, RECORDS, ROOT, blocks, calls, commands, every_flag, flags, inline, targets

PAGES = [*GUIDES, *RECORDS]
SHELL = [
    pytest.param(command, id=f"{block}: {command.split(maxsplit=2)[:2]}")
    for page in PAGES
    for block in blocks(page)
    if block.language == "sh"
    for command in commands(block.text)
]
SCRIPTS = sorted({script for param in SHELL for script in re.findall(r"[\w./-]+\.py\b", param.values[0])})
# The roadmap names what there is not yet.
SPANS = sorted({span for page in PAGES if page.name != "roadmap.md" for span in inline(page)})
GUIDED = sorted({span for page in GUIDES for span in inline(page)})
ROOTS = "server|quantizer|chat_templates|tests|docs|requirements"
# add-a-family.md leads to a folder that its reader makes.
PATHS = [span for span in GUIDED if re.fullmatch(rf"({ROOTS})/[\w./-]*", span) and "my_family" not in span]
PYTHON = [span for span in GUIDED if re.match(r"(server|quantizer|chat_templates)\.[\w.]+\(", span)]
# Flags of others' programs that the text speaks of: llama.cpp's tools, docker.
THEIRS = {"--build-arg", "--dry-run", "--jinja", "--tensor-type"}


def check(command):
    for name, arguments in calls(command):
        if not arguments or arguments == ["version"]:
            continue
        verb, *rest = arguments
        assert verb in PROGRAMS[name].verbs, f"{name} has no verb {verb}"
        assert {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)} <= flags(name, verb)
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    if words[0] == "make":
        assert {word for word in words[1:] if "=" not in word} <= targets()


@functools.cache
def our_scripts():
    return "\n".join(
        path.read_text("utf-8")
        for name in ("benchmarks", "container")
        for path in (ROOT / "tests" / name).iterdir()
        if path.is_file()
    )


@pytest.mark.parametrize("command", SHELL)
def test_a_command_of_a_block_names_what_there_is(command):
    check(command)


@pytest.mark.parametrize("span", SPANS)
def test_a_command_in_a_sentence_names_what_there_is(span):
    if re.match(r"(functiongate(-quantize)?|make) [a-z]", span) or " functiongate" in span:
        check(span)
    elif flag := re.match(r"--([a-z][a-z-]*)", span):
        argument = re.compile(rf"{flag[0]}\b|\b{flag[1].replace('-', '_')}\b")
        assert flag[0] in every_flag() | THEIRS or argument.search(our_scripts())


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_a_sentence_is_there(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("call", PYTHON)
def test_a_function_in_a_sentence_can_be_called_so(call):
    name, _, arguments = call.partition("(")
    parameters = inspect.signature(pkgutil.resolve_name(name)).parameters
    given = [argument.strip() for argument in arguments.rstrip(")").replace("(", " ").split(",")]
    assert len(given) <= len(parameters)
    assert {argument.partition("=")[0] for argument in given if "=" in argument} <= parameters.keys()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_there_with_its_flags(script):
    if not script.startswith("tests/benchmarks/"):
        assert (ROOT / script).exists()
        return
    shown = subprocess.run(
        [sys.executable, ROOT / script, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "COLUMNS": "200"},
    ).stdout
    used = [param.values[0] for param in SHELL if script in param.values[0]]
    assert all(flag in shown for command in used for flag in re.findall(r"--[a-z][a-z-]*", command))
