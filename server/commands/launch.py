"""`functiongate launch`: another program's configuration for the running server, printed or written."""

from __future__ import annotations

import importlib
import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.clients.configuration import Configuration

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S = 10.0


class Client(StrEnum):
    """The programs that are known, by their names; the values' modules are in `server.clients`."""

    CODEX = "codex"
    OPENCODE = "opencode"
    CLAUDE = "claude"
    ZED = "zed"
    CONTINUE = "continue"


def launch(
    client: Annotated[Client, typer.Argument(help="codex, opencode, claude, zed or continue.")],
    *,
    url: Annotated[str, typer.Option(help="The running server.")] = DEFAULT_URL,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="FUNCTIONGATE_API_KEY", help="A key of the server. No file gets it."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the files; what was there is kept beside them as .bak.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """Show how another program is pointed at the running server, or write its configuration."""
    import httpx  # noqa: PLC0415 -- the command line answers before it is loaded

    from server.clients.configuration import Home  # noqa: PLC0415
    from server.clients.reached import reach  # noqa: PLC0415

    with httpx.Client(timeout=TIMEOUT_S) as http:
        server = reach(http, url, api_key)
    module = {Client.CONTINUE: "continue_dev"}.get(client, client.value)
    made = importlib.import_module(f"server.clients.{module}").configuration(server, Home(Path.home(), os.environ))
    kept = _written(made) if write else {}
    if as_json:
        files = [
            {"path": str(file.path), "text": file.text(None), "backup": kept.get(file.path)} for file in made.files
        ]
        typer.echo(json.dumps({"files": files, "run": made.run, "warnings": made.warnings}, indent=2))
        return
    _tell(made, kept, is_written=write)


def _written(made: Configuration) -> dict[Path, str | None]:
    from server.clients.configuration import write  # noqa: PLC0415 -- see above

    kept = {file.path: write(file) for file in made.files}
    return {path: None if backup is None else str(backup) for path, backup in kept.items()}


def _tell(made: Configuration, kept: dict[Path, str | None], *, is_written: bool) -> None:
    for file in made.files:
        if not is_written:
            typer.echo(f"# {file.path}\n{file.text(None)}")
        elif backup := kept[file.path]:
            typer.echo(f"wrote {file.path} (what was there is in {backup})")
        else:
            typer.echo(f"wrote {file.path}")
    typer.echo(f"# start it with\n{made.run}")
    for warning in made.warnings:
        typer.echo(f"functiongate: {warning}", err=True)
