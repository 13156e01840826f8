"""`functiongate bench`: workloads against a server, or against two in turns.

Knows the terminal and files. Two servers are measured A B A B, never at once.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.bench.workload import load_workload, sessions_of, warm_up, workload_names
from server.errors import StartupError

if TYPE_CHECKING:
    from server.bench.client import Round
    from server.bench.summary import Ratio, Summary
    from server.bench.workload import Workload

DEFAULTS = ("tools-2k", "cold-4", "agent", "chat-1", "chat-4")


def bench(  # noqa: PLR0917 -- typer calls it by name
    workloads: Annotated[
        list[str] | None, typer.Argument(help=f"Names or files. There are: {', '.join(workload_names())}.")
    ] = None,
    url: Annotated[str, typer.Option(help="The server to measure.")] = "http://127.0.0.1:8000/v1",
    against: Annotated[str | None, typer.Option(help="Another server, measured in turns with the first.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, or pairs of rounds.")] = 3,
    seed: Annotated[int, typer.Option(help="Other questions and other cold beginnings for another seed.")] = 1,
    api_key: Annotated[str, typer.Option(envvar="FUNCTIONGATE_API_KEY", help="Key for both servers.")] = "",
    pid: Annotated[int | None, typer.Option(help="Process of the first server, for its peak memory.")] = None,
    against_pid: Annotated[int | None, typer.Option(help="Process of the second server.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of the table.")] = False,
    json_file: Annotated[Path | None, typer.Option(help="Write all figures here, in JSON.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Draw the figures here, .png or .svg; wants functiongate[report].")
    ] = None,
) -> None:
    """Measure time to first token, gaps, throughput and decode steps; with --against, the ratios to another server."""
    # Imported here, so that `--help` and other commands do not wait for numpy and httpx.
    from server.bench.summary import HEAD, as_markdown, ratios, summarise  # noqa: PLC0415
    from server.bench.summary import as_json as figures  # noqa: PLC0415

    chosen = [load_workload(name) for name in workloads or DEFAULTS]
    names = {"ours": (url, pid)} if against is None else {"ours": (url, pid), "theirs": (against, against_pid)}
    results = []

    def show(line: str) -> None:
        if not as_json:
            typer.echo(line)

    show(HEAD)
    lines = [HEAD]
    for workload in chosen:
        measured = asyncio.run(_measure(workload, [where for where, _ in names.values()], rounds, seed, api_key))
        found = ratios(*measured) if len(measured) == 2 else {}
        processes = [process for _, process in names.values()]
        summaries = {
            name: summarise(own, None if process is None else peak_rss(process))
            for name, own, process in zip(names, measured, processes, strict=True)
        }
        lines.append(as_markdown(workload, summaries, found))
        show(lines[-1])
        results.append((workload, summaries, found))
    if as_json:
        typer.echo(json.dumps([figures(*result) for result in results], indent=2, allow_nan=False))
    _write(results, "\n".join(lines), json_file, markdown_file, plot_file)


def _write(
    results: list[tuple[Workload, dict[str, Summary], dict[str, Ratio]]],
    table: str,
    json_file: Path | None,
    markdown_file: Path | None,
    plot_file: Path | None,
) -> None:
    from server.bench.summary import as_json  # noqa: PLC0415 -- as above

    if json_file is not None:
        json_file.write_text(json.dumps([as_json(*result) for result in results], indent=2, allow_nan=False) + "\n")
    if markdown_file is not None:
        markdown_file.write_text(table + "\n")
    if plot_file is not None:
        from server.bench.plot import plot  # noqa: PLC0415 -- matplotlib is an extra

        plot([(workload.name, summaries) for workload, summaries, _ in results], plot_file)


async def _measure(workload: Workload, urls: list[str], n_rounds: int, seed: int, api_key: str) -> list[list[Round]]:
    """The rounds of each server, interleaved; both get the same bodies in a round."""
    from server.bench.client import Peer, run_round  # noqa: PLC0415 -- as above

    peers = [Peer(url, api_key=api_key) for url in urls]
    rounds: list[list[Round]] = [[] for _ in peers]
    try:
        for peer in peers:
            await peer.connect()
        for i in range(n_rounds):
            # Each goes first in half of the rounds.
            order = list(enumerate(peers))[:: 1 if i % 2 == 0 else -1]
            sessions, warm = sessions_of(workload, seed + i), warm_up(workload, seed + i) if workload.warm else []
            for k, peer in order:
                rounds[k].append(await run_round(peer, workload, warm, sessions, seed + i))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        for peer in peers:
            await peer.close()
    return rounds


def peak_rss(pid: int) -> int:
    """The most resident memory in bytes that a process has had. Raises `StartupError` if there is no such process."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    raise StartupError(f"no process {pid}, or this system does not tell its memory")
