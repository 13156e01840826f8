"""The command line: `functiongate-quantize`, equal to `python -m quantizer`.

Knows which verbs there are, and imports the one that is asked for: all of them take longer to import than a small model
takes to quantize. The law: what ends llama.cpp ends a child of this process, never the process itself.
"""

from __future__ import annotations

import os
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

from quantizer.errors import QuantizerError
from quantizer.native.child import in_child
from server.commands.command_line import CommandLine
from server.errors import FunctionGateError
from server.llama.errors import LlamaError
from server.llama.interrupts import send_swallowed_interrupts_again

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = CommandLine(
    name="functiongate-quantize",
    help="Make small GGUFs, and know what they lost.",
    package="quantizer.commands",
    verbs=MappingProxyType(
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
    ),
    failures=(QuantizerError, FunctionGateError, LlamaError),
)


def run(arguments: Sequence[str]) -> int:
    """Run one verb in this process; see `CommandLine.run`."""
    return PROGRAM.run(arguments)


def work() -> int:
    """What the child does: the verb that the command line asks for."""
    send_swallowed_interrupts_again()
    return run(sys.argv[1:])


def main() -> None:
    """The console script: the work is done in a child, since llama.cpp can end the process that it runs in.

    ggml's own kernels are used unless the environment says otherwise: figures are compared.
    """
    os.environ.setdefault("FUNCTIONGATE_KERNELS", "0")
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    sys.exit(in_child(work, PROGRAM.tell))


if __name__ == "__main__":
    main()
