"""Every family's format on one model: the same cases in each family's prompt, `tool_choice` required, over HTTP.

    python tests/benchmarks/bench_families.py model.gguf --count 5

The model need not know the format: its grammar does. Fails if any arguments do not parse or do not fit their schema, or
if an answer is no call. One call is wanted and allowed: in a strange tongue a model repeats its call until it is cut.
Accuracy is printed for curiosity: a model is at its best in its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer
from benchmarks.bench_bfcl import main as bench_bfcl
from rich.console import Console

from chat_templates import FAMILIES

SILENT = {"minitron"}  # does not chat
STARTS_WITHIN_S = 120


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    """Raises `RuntimeError` if the server ends, or takes too long."""
    for _ in range(STARTS_WITHIN_S):
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with status {server.returncode}")
        try:
            if httpx.get(f"{url}/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise RuntimeError(f"the server did not start within {STARTS_WITHIN_S} seconds")


def main(
    model: Annotated[str, typer.Argument(help="A GGUF file.")],
    count: Annotated[int, typer.Option(help="The first so many cases of simple_python.")] = 25,
    port: Annotated[int, typer.Option(help="Port for the servers.")] = 8765,
    family: Annotated[list[str] | None, typer.Option(help="A family; may be given often.")] = None,
) -> None:
    """Serve the model once as every family and check its calls."""
    console = Console()
    failures = []
    for family_id in family or [name for name in FAMILIES if name not in SILENT]:
        command = [sys.executable, "-m", "server", "serve", model, "--port", str(port), "--family", family_id]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server, tempfile.TemporaryDirectory() as scratch:
            try:
                url = f"http://127.0.0.1:{port}"
                wait_until_ready(url, server)
                counts_file = Path(scratch) / "counts.json"
                bench_bfcl(
                    f"{url}/v1", "required", ["simple_python"], one_call=True, count=count, json_file=counts_file
                )
                counts = json.loads(counts_file.read_text())["categories"]["simple_python"]
            finally:
                server.terminate()
        well_formed = counts.get("called", 0) - counts.get("invalid", 0)
        console.print(
            f"{family_id}: {well_formed:.0f} of {counts['cases']:.0f} well formed, {counts.get('right', 0):.0f} right"
        )
        if well_formed != counts["cases"]:
            failures.append(family_id)
    if failures:
        raise SystemExit(f"malformed calls in {', '.join(failures)}")


if __name__ == "__main__":
    typer.run(main)
