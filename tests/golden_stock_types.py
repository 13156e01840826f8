"""Write `tests/golden/stock_types.json`: what llama-quantize chooses for the models of `model_heads`.

    FUNCTIONGATE_LLAMA_TOOLS=/path/to/build/bin python tests/golden_stock_types.py

The models are holes in files, and the activations are ones: a dry run looks at neither.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import tempfile
from pathlib import Path

from ggufs.model_heads import HEADS, Head, write_head
from ggufs.stock_summary import summary

from quantizer.planning.types import FILE_TYPES

LINE = re.compile(
    r"^\[ *\d+/ *\d+\] (\S+) +- \[.*?\], type = +(\S+), size = .*? MiB(?: -> +[\d.]+ MiB \((\S+)\))?", re.MULTILINE
)


def choices(tools: Path, model: Path, file_type: str, imatrix: Path | None) -> dict[str, str]:
    """Types by tensor that the dry run prints; empty if llama-quantize refuses the file type for this model."""
    options = ["--imatrix", str(imatrix)] if imatrix else []
    command = [str(tools / "llama-quantize"), *options, "--dry-run", str(model), "none.gguf", file_type]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tools)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        return {}
    return {match[1]: (match[3] or match[2]).upper() for match in LINE.finditer(done.stdout + done.stderr)}


def write_legacy_imatrix(path: Path) -> Path:
    """One entry is enough to be an imatrix: |n_entries|length, name, n_calls, n_values, values|chunk|dataset|."""
    name = b"blk.0.attn_q.weight"
    entry = struct.pack("<i", len(name)) + name + struct.pack("<iif", 1, 1, 1.0)
    path.write_bytes(struct.pack("<i", 1) + entry + struct.pack("<ii", 1, 1) + b"x")
    return path


def golden(tools: Path, head: Head, folder: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Summaries by activations and file type."""
    model = write_head(head, folder / "model.gguf")
    imatrix = write_legacy_imatrix(folder / "imatrix.dat")
    return {
        "without": {name: summary(found) for name in FILE_TYPES if (found := choices(tools, model, name, None))},
        "with": {name: summary(found) for name in FILE_TYPES if (found := choices(tools, model, name, imatrix))},
    }


def main() -> None:
    """Write the file."""
    tools = Path(os.environ["FUNCTIONGATE_LLAMA_TOOLS"])
    found = {}
    for name, head in HEADS.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = golden(tools, head, Path(folder))
    path = Path(__file__).parent / "golden" / "stock_types.json"
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
