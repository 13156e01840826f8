"""A program of verbs: one function a verb, one exit code a run.

Knows typer, the terminal and exit codes; both programs of this project are made with it. The law: what a user can cause
ends in one line on stderr and a non-zero exit. Help is plain text, as it was written: `[report]` in it is no markup.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import typer

from server.version import functiongate_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# The base of typer's usage errors, which moved between its releases; BadParameter, a UsageError, did not.
CommandError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A console program. `verbs` are names of functions by verb, with their modules in `package`.

    `failures` are the errors that a run may end with by somebody's fault; any other exception is ours, and a traceback.
    """

    name: str
    help: str
    package: str
    verbs: Mapping[str, tuple[str, str]]
    failures: tuple[type[Exception], ...]

    def run(self, arguments: Sequence[str]) -> int:
        """Run one verb; the exit code: 0 done, 1 it failed, 2 it was not understood, 130 interrupted."""
        try:
            result = self.app(self._needed(arguments))(list(arguments), prog_name=self.name, standalone_mode=False)
        except CommandError as error:
            # Without a message it is the help itself, printed already.
            if message := error.format_message():
                self.tell(f"{message} (see {self.name} --help)")
            return 2
        except self.failures as error:
            self.tell(str(error))
            return 1
        except (typer.Abort, KeyboardInterrupt):
            return 130
        return result if isinstance(result, int) else 0

    def tell(self, what: str) -> None:
        """Print a line on stderr, in the program's name."""
        typer.echo(f"{self.name}: {what}", err=True)

    def app(self, verbs: Iterable[str]) -> typer.Typer:
        """The application with these of the verbs, and `version`."""
        app = typer.Typer(
            name=self.name,
            help=self.help,
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
        )
        app.callback()(_verbs_follow)
        for verb in verbs:
            module, function = self.verbs[verb]
            app.command(verb)(getattr(importlib.import_module(f"{self.package}.{module}"), function))
        app.command("version")(version)
        return app

    def _needed(self, arguments: Sequence[str]) -> Iterable[str]:
        """The verbs to import: the one that is asked for, or all of them for the help and for what is none."""
        asked = arguments[0] if arguments else ""
        if asked == "version":
            return ()
        return (asked,) if asked in self.verbs else self.verbs


def _verbs_follow() -> None:
    """Each verb is one file."""


def version() -> None:
    """Print the version."""
    typer.echo(functiongate_version())
