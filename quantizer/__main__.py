"""The command line: `functiongate-quantize`, equal to `python -m quantizer`.

Knows flags, the terminal and exit codes. The law: what a user can cause ends in one line on stderr and a non-zero exit.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import typer

from quantizer.errors import QuantizerError
from quantizer.native.child import in_child
from server.errors import FunctionGateError
from server.llama.errors import LlamaError
from server.version import functiongate_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NAME = "functiongate-quantize"

# The base of typer's usage errors, which moved between its releases; BadParameter, a UsageError, did not.
CommandError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

# Where each verb is. Only the one that is asked for is imported: all of them take longer to import than a small
# model takes to quantize.
VERBS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "inspect": ("inspect", "inspect_model"),
        "recipes": ("recipes", "list_recipes"),
        "plan": ("plan", "plan_model"),
        "quantize": ("quantize", "quantize_model"),
        "dequantize": ("quantize", "dequantize_model"),
        "evaluate": ("evaluate", "evaluate"),
        "imatrix": ("imatrix", "imatrix"),
        "stats": ("stats", "stats"),
        "report": ("report", "report_files"),
        "run": ("run", "run_set"),
    }
)


def command_line(verbs: Iterable[str]) -> typer.Typer:
    """The application with these of the verbs, and `version`."""
    app = typer.Typer(
        name=NAME,
        help="Make small GGUFs, and know what they lost.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_commands)
    app.command("version")(version)
    for verb in verbs:
        module, function = VERBS[verb]
        app.command(verb)(getattr(importlib.import_module(f"quantizer.commands.{module}"), function))
    return app


def _commands() -> None:
    """Verbs follow; each is one file in `quantizer/commands/`."""


def version() -> None:
    """Print the version."""
    typer.echo(functiongate_version())


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code: 0 done, 1 it failed, 2 it was not understood, 130 interrupted."""
    try:
        result = command_line(_needed(arguments))(list(arguments), prog_name=NAME, standalone_mode=False)
    except CommandError as error:
        # Without a message it is the help itself, printed already.
        if message := error.format_message():
            typer.echo(f"{NAME}: {message} (see {NAME} --help)", err=True)
        return 2
    except (QuantizerError, FunctionGateError, LlamaError) as error:
        typer.echo(f"{NAME}: {error}", err=True)
        return 1
    except (typer.Abort, KeyboardInterrupt):
        return 130
    return result if isinstance(result, int) else 0


def _needed(arguments: Sequence[str]) -> Iterable[str]:
    """The verbs to import: the one that is asked for, or all of them for the help and for what is none."""
    asked = arguments[0] if arguments else ""
    if asked == "version":
        return ()
    return (asked,) if asked in VERBS else VERBS


def main() -> None:
    """The console script: the work is done in a child, since llama.cpp can end the process that it runs in.

    ggml's own kernels are used unless the environment says otherwise: figures are compared.
    """
    os.environ.setdefault("FUNCTIONGATE_KERNELS", "0")
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")

    def tell(reason: str) -> None:
        typer.echo(f"{NAME}: {reason}", err=True)

    sys.exit(in_child(lambda: run(sys.argv[1:]), tell))


if __name__ == "__main__":
    main()
