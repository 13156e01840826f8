"""Options that several verbs have."""

from __future__ import annotations

from typing import Any

import typer

MODEL_HELP = "A GGUF file, hf:organisation/repository[/file.gguf], or a name of `functiongate models`."
MODEL = typer.Argument(help=MODEL_HELP)
CACHE_DIR = typer.Option(
    envvar="FUNCTIONGATE_CACHE_DIR", help="Where fetched models are kept, and what is found of them."
)
FAMILY = typer.Option(help="A family of `functiongate families`.")


def given(**flags: Any) -> dict[str, Any]:
    """The flags that were given: those that are not None."""
    return {name: value for name, value in flags.items() if value is not None}
