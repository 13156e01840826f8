"""Both programs' help, verb by verb and flag by flag, as it is typed."""

from __future__ import annotations

import inspect
import re

import pytest
import typer

from quantizer.__main__ import PROGRAM as QUANTIZE
from server.__main__ import PROGRAM as SERVE

VERBS = [(program, verb) for program in (SERVE, QUANTIZE) for verb in program.verbs]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")


def flags(program, verb):
    """What the verb's function says of each of its parameters: its flag, if it is one, and its help."""
    command = typer.main.get_command(program.app([verb])).commands[verb]
    return [(parameter.opts[0], parameter.help or "") for parameter in command.params]


@pytest.mark.parametrize("program", [SERVE, QUANTIZE], ids=lambda program: program.name)
def test_the_help_of_a_program_names_every_verb(program, capsys):
    assert program.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^  {verb} +\w", shown, re.MULTILINE) for verb in (*program.verbs, "version"))


@pytest.mark.parametrize(("program", "verb"), VERBS, ids=lambda value: getattr(value, "name", value))
def test_the_help_of_a_verb_shows_every_flag_with_all_of_its_help(program, verb, capsys):
    """Brackets too: `hf:name[/file.gguf]` and `functiongate[report]` are text, no markup."""
    assert program.run([verb, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{program.name} {verb}" in shown
    for flag, text in flags(program, verb):
        assert flag.lower() in shown.lower()  # an argument may be shown as its metavar
        assert " ".join(text.split()) in shown


@pytest.mark.parametrize(("program", "verb"), VERBS, ids=lambda value: getattr(value, "name", value))
def test_every_flag_says_what_it_is_for(program, verb):
    assert all(text for flag, text in flags(program, verb) if flag != "--help")
    assert inspect.getdoc(typer.main.get_command(program.app([verb])).commands[verb].callback)


@pytest.mark.parametrize("program", [SERVE, QUANTIZE], ids=lambda program: program.name)
def test_an_error_names_only_flags_that_there_are(program, capsys):
    verb = next(iter(program.verbs))
    assert program.run([verb, "--no-such-flag"]) == 2
    assert "--no-such-flag" in capsys.readouterr().err
