"""The command line: `functiongate-quantize`, equal to `python -m quantizer`.

Knows flags, the terminal and exit codes. The law: what a user can cause ends in one line on stderr and a non-zero exit.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, cast

import typer

from quantizer.commands.evaluate import evaluate
from quantizer.commands.imatrix import imatrix
from quantizer.commands.inspect import inspect_model
from quantizer.commands.plan import plan_model
from quantizer.commands.quantize import dequantize_model, quantize_model
from quantizer.commands.recipes import list_recipes
from quantizer.commands.report import report_files
from quantizer.commands.run import run_set
from quantizer.commands.stats import stats
from quantizer.errors import QuantizerError
from server.errors import FunctionGateError
from server.llama.errors import LlamaError
from server.version import functiongate_version

if TYPE_CHECKING:
    from collections.abc import Sequence

# The base of typer's usage errors, which moved between its releases; BadParameter, a UsageError, did not.
CommandError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name="functiongate-quantize",
    help="Make small GGUFs, and know what they lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Verbs follow; each is one file in `quantizer/commands/`."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(functiongate_version())


app.command("inspect")(inspect_model)
app.command("recipes")(list_recipes)
app.command("plan")(plan_model)
app.command("quantize")(quantize_model)
app.command("dequantize")(dequantize_model)
app.command()(evaluate)
app.command()(imatrix)
app.command()(stats)
app.command("report")(report_files)
app.command("run")(run_set)


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code: 0 done, 1 it failed, 2 it was not understood, 130 interrupted."""
    try:
        result = app(list(arguments), standalone_mode=False)
    except CommandError as error:
        # Without a message it is the help itself, printed already.
        if message := error.format_message():
            typer.echo(f"functiongate-quantize: {message} (see functiongate-quantize --help)", err=True)
        return 2
    except (QuantizerError, FunctionGateError, LlamaError) as error:
        typer.echo(f"functiongate-quantize: {error}", err=True)
        return 1
    except (typer.Abort, KeyboardInterrupt):
        return 130
    return result if isinstance(result, int) else 0


def main() -> None:
    """The console script. ggml's own kernels are used unless the environment says otherwise: figures are compared."""
    os.environ.setdefault("FUNCTIONGATE_KERNELS", "0")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
