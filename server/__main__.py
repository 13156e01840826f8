"""The command line: `functiongate`, equal to `python -m server`.

Knows which verbs there are, and imports the one that is asked for.
"""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

from server.commands.command_line import CommandLine
from server.errors import FunctionGateError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = CommandLine(
    name="functiongate",
    help="OpenAI-compatible function calling on ordinary CPUs.",
    package="server.commands",
    verbs=MappingProxyType(
        {
            "serve": ("serve", "serve"),
            "models": ("models", "models"),
            "families": ("families", "families"),
            "render": ("render", "render"),
            "parse": ("parse", "parse"),
            "bench": ("bench", "bench"),
            "tune": ("tune", "tune"),
            "warm": ("warm", "warm"),
            "launch": ("launch", "launch"),
        }
    ),
    failures=(FunctionGateError,),
)


def run(arguments: Sequence[str]) -> int:
    """Run one verb; see `CommandLine.run`."""
    return PROGRAM.run(arguments)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
