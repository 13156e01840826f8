"""The page of what was tried with each client: rows in, Markdown out.

The versions are those that the environments are made of: each is pinned in the files beside this one.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEAD = """\
# Clients that were tried

`make test-clients TABLE=docs/clients-tried.md` wrote this page: each client in an environment of its own, against a
server that runs. A loop asks for two tools, one after the other, and ends in words that hold the fact that the second
one told; a shape is one thing that a client can ask for.

"""


def page(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    told = "".join(f"| {name} | {_tried(row)} |\n" for name, row in sorted(rows.items()))
    versions = textwrap.fill(f"Versions: {', '.join(sorted(_versions()))}.", 120, break_on_hyphens=False)
    return f"{HEAD}| client | what came |\n|---|---|\n{told}\n{versions}\n"


def _tried(row: Mapping[str, Any]) -> str:
    if "tried" not in row:
        return str(row["result"])
    by_outcome: dict[str, list[str]] = {}
    for name, came in row["tried"].items():
        by_outcome.setdefault(came if came == "ok" else "failed", []).append(f"`{name}`")
    told = "; ".join(f"{outcome}: {', '.join(names)}" for outcome, names in by_outcome.items())
    return f"{told} (with {row['model']})" if "model" in row else told


def _versions() -> Iterator[str]:
    for file in (HERE / "requirements.txt", *sorted((HERE / "alone").glob("*.txt"))):
        for line in file.read_text().splitlines():
            name, _, version = line.partition("==")
            yield f"{name} {version.split()[0]}"
    for name, version in json.loads((HERE / "node" / "package.json").read_text())["dependencies"].items():
        yield f"{name} {version} (npm)"
